from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build import conversations
from punie_build.conversations import (
    call,
    conversation,
    declare,
    decline,
    get_terminal_output,
    kill_terminal,
    read_file,
    release_terminal,
    run_command,
    single,
    steps,
    wait_for_terminal_exit,
    write,
    write_file,
)
from punie_build.data.example import parse
from punie_build.data.filters.union import EndsWithAssistant, ValidTools
from punie_build.data.ingest import ingest, to_chat_row
from punie_build.data.sources import Command
from punie_build.data.synthetic.editor_tools import SYSTEM, TOOLS
from punie_build.data.template_roundtrip import RoundTripReport
from punie_build.storage import paths

RECIPES = (Path(__file__).parents[4] / "docs" / "recipes.md").read_text()


def weather(
    city: Annotated[str, "Where."], days: int = 1, unit: Literal["C", "F"] = "C", exact: bool | None = None
) -> str:
    """The weather
    of a city.

    And more that no model needs.
    """
    return f"{city} {days} {unit} {exact}"


WEATHER = declare(weather)
EDITOR = {
    "read_file": read_file("a.py", 3, 20, result="x"),
    "write_file": write_file("a.py", 'print("ü")\n', result="ok"),
    "run_command": run_command("pytest", "src", result="t1"),
    "get_terminal_output": get_terminal_output("t1", result=""),
    "release_terminal": release_terminal("t1", result="ok"),
    "wait_for_terminal_exit": wait_for_terminal_exit("t1", result="exit code 0"),
    "kill_terminal": kill_terminal("t1", result="ok"),
}
ROWS = [
    *(steps(f"Use {name}", request, answer="Done.") for name, request in EDITOR.items()),
    steps("Run it", run_command("make")),
    steps("Both", [read_file("a"), read_file("b")]),
    steps("Both, and say", (read_file("a", result="1"), read_file("b", result="2")), run_command("x"), system=None),
    single("Rain?", WEATHER, {"city": "Rome", "days": 2, "unit": "F"}, {"rain": False, "°C": [1, 2.5]}, "No."),
    single("Rain?", WEATHER, {"city": "Rome"}),
    single("Show a", "read_file", {"path": "a"}, "1", "It says 1.", tools=["read_file"], category="reading"),
    decline("Hello", "Hi, `<function=` is a word"),
    decline("And outside?", "Where are you?", tools=[WEATHER, "read_file"]),
    conversation("a?", read_file("a", result="1"), "1.", "b?", read_file("b", result="2"), "2.", "Thanks", "Bye."),
]


def check_row(row: dict) -> None:
    """Assert what holds for every row: the filters keep it, a dataset keeps its bytes, ids are numbered."""
    line = json.dumps(row, ensure_ascii=False).encode()
    example = parse(line).example
    assert ValidTools().keep(example)
    assert EndsWithAssistant().keep(example)
    assert to_chat_row(line, "auto").line == line, "a dataset keeps the bytes"
    ids = [call["id"] for message in row["messages"] for call in message.get("tool_calls", ())]
    assert ids == [f"call_{number}" for number in range(1, len(ids) + 1)]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_valid_training_example(row: dict):
    check_row(row)


text = st.text("ab {}[]\"'`<>|\\\n\tü💡=/", max_size=12)
words = text.filter(str.strip)
answered_calls = st.one_of(
    st.builds(read_file, text, st.none() | st.integers(), st.none() | st.integers(), result=text),
    st.builds(write_file, text, text, result=text),
    st.builds(
        lambda city, days, result: call(WEATHER, {"city": city, "days": days}, result), text, st.integers(), text
    ),
)
turns = st.lists(
    st.tuples(words, st.lists(answered_calls | st.lists(answered_calls, min_size=1, max_size=3), max_size=3), words)
)


@pytest.mark.slow
@given(turns.filter(bool))
def test_any_conversation_is_a_valid_training_example(exchanges: list):
    turns = [turn for question, calls, answer in exchanges for turn in (question, *calls, answer)]
    check_row(conversation(*turns, tools=[*TOOLS, WEATHER]))


@pytest.mark.slow
def test_the_template_of_a_base_writes_calls_that_its_server_parses(tmp_path):
    """Uses nano's own template and parser, for rows with and without a system prompt."""
    for split in ("train", "valid", "test"):
        rows = ROWS if split == "train" else []
        (tmp_path / f"{split}.jsonl").write_text("".join(f"messages {json.dumps(row)}\n" for row in rows))
    out = tmp_path / "report.json"
    command = [sys.executable, "-m", "punie_build.data.template_roundtrip", str(paths.nano()), str(tmp_path), str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    report = msgspec.json.decode(out.read_bytes(), type=RoundTripReport)
    assert (report.rows, report.problems) == (len(ROWS), {})


def test_a_row_is_openai_chat():
    row = steps("Both", (read_file("a", result="1"), read_file("b", 2, result="2")), answer="1 and 2.")
    assert list(row) == ["messages", "tools", "category"]
    system, user, calls, first, second, answer = row["messages"]
    assert (system, user) == ({"role": "system", "content": SYSTEM}, {"role": "user", "content": "Both"})
    assert [json.loads(entry["function"]["arguments"]) for entry in calls["tool_calls"]] == [
        {"path": "a"},
        {"path": "b", "line": 2},
    ]
    assert first == {"role": "tool", "tool_call_id": "call_1", "content": "1"}
    assert second == {"role": "tool", "tool_call_id": "call_2", "content": "2"}
    assert answer == {"role": "assistant", "content": "1 and 2."}
    assert row["tools"] == list(TOOLS.values())


def test_tools_and_category_follow_from_the_calls_or_are_given():
    assert [row["category"] for row in ROWS[:9]] == [*EDITOR, "run_command", "multi-tool"]
    assert [row["category"] for row in ROWS[-5:]] == ["weather", "reading", "words", "words", "multi-tool"]
    both = steps("q", call(WEATHER, {"city": "x"}, "1"), read_file("a"))
    assert [tool["function"]["name"] for tool in both["tools"]] == ["weather", "read_file"]
    assert "tools" not in decline("q", "a", tools=())


def test_declare_reads_a_python_function():
    assert WEATHER["function"] == {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where."},
                "days": {"type": "integer"},
                "unit": {"enum": ["C", "F"]},
                "exact": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            },
            "required": ["city"],
        },
    }
    with pytest.raises(ValueError, match=r"<lambda>\.x: no parameter with a type - annotate it"):
        declare(lambda x: x)

    def picture(image: io.BytesIO) -> None: ...

    with pytest.raises(ValueError, match=r"picture\.image: .* has no JSON Schema"):
        declare(picture)


ORDER = {
    "type": "function",
    "function": {
        "name": "order",
        "parameters": {
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
                "price": {"type": ["number", "null"]},
                "fast": {"type": "boolean"},
            },
        },
    },
}


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("read_file", {}, "read_file.path: missing - the declaration requires it"),
        ("read_file", {"path": 3}, "read_file.path: 3 is not of type string - correct it"),
        ("read_file", {"path": "a", "line": "3"}, 'read_file.line: "3" is not of type integer - correct it'),
        ("read_file", {"path": "a", "line": True}, "read_file.line: true is not of type integer - correct it"),
        ("read_file", {"path": "a", "lines": 3}, "read_file.lines: unknown - did you mean 'line'?"),
        ("read_fil", {"path": "a"}, "read_fil: not an editor tool - did you mean 'read_file'?"),
        (WEATHER, {"city": "x", "unit": "K"}, 'weather.unit: "K" is not allowed - use one of "C", "F"'),
        (ORDER, {"items": [{"n": 1}, {"n": "2"}]}, 'order.items[1].n: "2" is not of type integer - correct it'),
        (ORDER, {"items": [{"m": 1}]}, "order.items[0].m: unknown - known: n"),
        (ORDER, {"price": "9"}, 'order.price: "9" is not of type number or null - correct it'),
        (ORDER, {"fast": 1}, "order.fast: 1 is not of type boolean - correct it"),
        (ORDER, {"price": float("nan")}, "order: arguments: Out of range float values are not JSON compliant"),
        (ORDER, {"items": {1, 2}}, "order: arguments: Object of type set is not JSON serializable"),
        (ORDER, {"fast": "\ud800"}, "order: arguments: 'utf-8' codec can't encode"),
        ({"parameters": {}}, {}, "{'parameters': {}}: a declaration without a name"),
        ({"name": "now", "parameters": {"properties": {}}}, {"x": 1}, "now.x: unknown - the tool takes no arguments"),
    ],
)
def test_arguments_must_match_the_declaration(tool, arguments: dict, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(tool, arguments)


def test_an_error_lists_all_problems_of_a_call_and_tuples_are_lists():
    with pytest.raises(ValueError, match=r"missing.*\n.*unknown"):
        call("read_file", {"file": "a"})
    assert call(ORDER, {"items": ({"n": 1},), "price": None}).arguments == {"items": [{"n": 1}], "price": None}
    assert call({"name": "any"}, {"x": 1}, result={"a": 1}).result == '{"a": 1}'


DONE = read_file("a", result="x")


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ((), "conversation '': no turns - begin with the user's text"),
        (
            ("q",),
            "conversation 'q': turn 1: the conversation ends with the user - add the assistant's answer, or a call",
        ),
        (("q", " "), "turn 2: empty text - write some"),
        ((DONE, "a"), "turn 1: read_file is called before a user message - put the user's text before it"),
        (("q", DONE), "turn 2: the conversation ends with a result - add the assistant's answer"),
        (("q", read_file("a"), "a"), "turn 2: read_file has no result - add result=..."),
        (("q", (DONE, run_command("x"))), "turn 2: run_command has no result - add result=..."),
        (("q", (), "a"), "turn 2: neither text nor calls - use read_file(...)"),
        (("q", None, "a"), "turn 2: neither text nor calls"),
        (("q", {"role": "assistant"}, "a"), "turn 2: neither text nor calls"),
        (("q", "a<|endoftext|>"), "turn 2: <|endoftext|> is markup of chat templates - use other words"),
        (("q", write_file("a", "</tool_call>")), "turn 2: </tool_call> is markup of chat templates"),
        (("q", '```json\n{"name": "read_file", "arguments": {}}\n```'), "a text would be read as a call or as tools"),
        (("q", "<functioncall> {"), "conversation 'q': message 3 (assistant): <functioncall> cannot be parsed"),
    ],
)
def test_turns_out_of_order_are_errors(turns: tuple, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        conversation(*turns)


def test_called_tools_must_be_declared_and_steps_have_calls():
    with pytest.raises(ValueError, match="'q': read_file is called, but not in tools with this declaration - add it"):
        steps("q", read_file("a"), tools=["write_file"])
    with pytest.raises(ValueError, match="'q': no calls - add some, or use decline"):
        steps("q", answer="a")
    with pytest.raises(ValueError, match=re.escape("system: <|im_end|> is markup")):
        decline("q", "a", system="s<|im_end|>")


def test_rows_are_written_to_a_path_an_open_file_or_standard_output(tmp_path, capfdbinary):
    row = decline("ü", "a", tools=())
    assert write([row, row], tmp_path / "new" / "a.jsonl") == 2
    line, second = (tmp_path / "new" / "a.jsonl").read_bytes().splitlines()
    assert line == second
    assert json.loads(line) == row
    assert "ü".encode() in line
    out = io.BytesIO()
    assert write(iter([row]), out) == 1
    assert out.getvalue() == line + b"\n"
    with (tmp_path / "text").open("w", encoding="latin-1") as file:
        file.write("first\n")
        write([row], file)
    assert (tmp_path / "text").read_bytes() == b"first\n" + line + b"\n"
    write([row])
    assert capfdbinary.readouterr().out == line + b"\n"


def test_a_file_is_replaced_only_when_all_rows_are_written(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("mine")
    for bad, message in (({"messages": []}, "row 2: no messages"), ({"messages": {1}}, "row 2: Object of type set")):
        with pytest.raises(ValueError, match=message):
            write([ROWS[0], bad], path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]
    assert path.read_text() == "mine"


# --- docs/recipes.md


def test_the_script_in_the_docs_is_a_source(tmp_path):
    [script] = re.findall(r"```python\n(# make_rows.py\n.*?)```", RECIPES, re.DOTALL)
    (tmp_path / "make_rows.py").write_text(script)
    rows = [row for _, row in ingest(tmp_path, Command(argv=("python", "make_rows.py")), "auto", tmp_path)]
    assert [row.example.category for row in rows] == [
        "read_file", "run_command", "multi-tool", "weather", "words", "words", "multi-tool",
    ]  # fmt: skip
    for row in rows:
        check_row(json.loads(row.line))


def test_the_docs_name_every_function_and_show_error_messages():
    functions = [name for name in conversations.__all__ if name.islower()]
    assert len(functions) == 14
    assert all(re.search(rf"[|,] `{name}[`(]", RECIPES) for name in functions)
    errors = re.findall(r"^ValueError: (.*)$", RECIPES, re.MULTILINE)
    with pytest.raises(ValueError, match=re.escape(errors[0])):
        call("read_file", {"path": "a", "lines": 3})
    with pytest.raises(ValueError, match=re.escape(errors[1])):
        steps("Run the tests", run_command("pytest", result="t1"))
