from __future__ import annotations

from punie_build.auditing import LOOKS, Seen, audit
from punie_build.examples import Example, Function, Message, ToolCall


def chat(*texts: str, roles: str = "user assistant") -> Example:
    return Example(tuple(Message(role, text) for role, text in zip(roles.split() * 9, texts, strict=False)))


def found(*examples: Example, side: str = "train", dialect: str = "messages") -> dict[str, tuple[int, tuple[str, ...]]]:
    rows = [Seen(side, line, example, dialect) for line, example in enumerate(examples, 1)]
    return {finding.what: (finding.count, finding.places) for finding in audit(lambda: rows)}


GOOD = chat("hello", "hi")
CALL = Message("assistant", None, (ToolCall(Function("f", "{}"), "1"),))
ODD = {
    "calls and results written as text": (GOOD, "hermes"),
    "end-of-text markers in the text": (chat("a", "b<|endoftext|>"), "messages"),
    "several system messages": (chat("a", "b", "c", "d", roles="system system user assistant"), "messages"),
    "empty or placeholder tool results": (
        Example((Message("user", "q"), CALL, Message("tool", "...", None, "1"), Message("assistant", "done"))),
        "messages",
    ),
    "no assistant at the end": (chat("only"), "messages"),
    "empty assistant messages": (chat("q", " "), "messages"),
    "calls that do not fit their tools": (
        Example((Message("user", "q"), CALL), ({"function": {"name": "g"}},)),
        "messages",
    ),
}


def test_every_look_finds_what_it_looks_for_and_leaves_good_rows_alone():
    assert {what for what, _, _ in LOOKS} == set(ODD)
    assert found(GOOD) == {}
    for what, (example, dialect) in ODD.items():
        assert found(example, dialect=dialect)[what] == (1, ("train:1",))


def test_repetitions_and_templates_are_counted():
    told = found(chat("same", "x"), chat("Same", "x"))
    assert told["rows that say what another says"][0] == 1
    told = found(*(chat(f"add {n} and 1", f"{n + 1}") for n in range(20)))
    assert told["templates: 1 texts but for their numbers"][0] == 19


def test_mixed_prompts_and_dialects_are_told():
    two = [chat(prompt, "q", "a", roles="system user assistant") for prompt in ("one", "two")]
    assert "2 different system prompts" in found(*two)
    rows = [Seen("train", 1, GOOD, "hermes"), Seen("train", 2, chat("x", "y"), "messages")]
    assert any(finding.what.startswith("mixed dialects (hermes 1, messages 1)") for finding in audit(lambda: rows))


def test_leaks_are_told_with_both_places():
    rows = [Seen("train", 1, GOOD), Seen("train", 2, chat("other", "thing")), Seen("valid", 1, GOOD)]
    [leak] = [finding for finding in audit(lambda: rows) if "word for word" in finding.what]
    assert (leak.count, leak.of, leak.places) == (1, 1, ("valid:1 = train:1",))
    assert "1 of 1 rows (100%) - first valid:1 = train:1" in leak.sentence()
