"""Checks of rows: each failure of docs/gates.md that rows show is found, in made-up rows rendered with nano's
template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from punie_build.models.served_template import ChatTemplate
from punie_build.models.tokenizer import load_tokenizer
from punie_build.preflight import row_checks
from punie_build.preflight.finding import PreflightFinding, not_allowed
from punie_build.preflight.rendered_rows import RenderedRows
from punie_build.preflight.result import SuitePrompts
from punie_build.storage import paths
from tests.support.conversation_rows import SYSTEM, correct_rows, message, row, word, write_jsonl

Rows = list[dict[str, Any]]
NANO_TOKENIZER = load_tokenizer(paths.nano())
SUITES = {"asked": SuitePrompts(SYSTEM, ("Please read the file called settings.toml and tell me its port",))}


def worst_findings(
    folder: Path,
    train: Rows,
    valid: Rows | None = None,
    test: Rows | None = None,
    tokenizer: Any = NANO_TOKENIZER,
    pairs: bool = False,
) -> dict[str, PreflightFinding]:
    """Return check -> its worst finding in these rows."""
    for split, rows in (("train", train), ("valid", valid or correct_rows(4, 900)), ("test", test or [])):
        write_jsonl(folder / f"{split}.jsonl", rows)
    rendered = RenderedRows(folder, "data/x", ChatTemplate(tokenizer), SUITES, mixed=False, pairs=pairs)
    return {finding.check: finding for finding in not_allowed(row_checks.check(rendered), ())[::-1]}


def with_reasoning(example: dict[str, Any], text: str) -> dict[str, Any]:
    *before, last = example["messages"]
    return example | {"messages": [*before, last | {"reasoning_content": text}]}


XML = "<tool_call><function=read_file><parameter=path>a.py</parameter></function></tool_call>"
JSON = '<tool_call>{"name": "read_file", "arguments": {"path": "a.py"}}</tool_call>'
CASES = {  # failure, with its number in docs/gates.md -> (rows, check, level)
    "2 a suite's system prompt is in no row": ({"train": correct_rows(20, system="Be brief.")}, "eval-system", "error"),
    "2 a suite's system prompt is in few rows": (
        {"train": correct_rows(19, system="Be brief.") + correct_rows(4, 50)},
        "eval-system",
        "warning",
    ),
    "11 validation rows are in training": (
        {"train": correct_rows(20), "valid": correct_rows(2, 5) + correct_rows(4, 800)},
        "leakage",
        "error",
    ),
    "11 a test row has a question of training": (
        {"train": correct_rows(20), "test": [row(800, ask=row(3)["messages"][1]["content"])]},
        "leakage",
        "warning",
    ),
    "11 training has a prompt of a suite": (
        {"train": [*correct_rows(20), row(70, ask=SUITES["asked"].prompts[0])]},
        "leakage",
        "error",
    ),
    "11 duplicates": ({"train": correct_rows(20) + correct_rows(3)}, "duplicates", "warning"),
    "12 text before calls of one tool and none of another": (
        {"train": correct_rows(12, words="Let me see.") + correct_rows(12, 50, call=("wait", {}))},
        "preambles",
        "warning",
    ),
    "13 calls in the text, in a markup the base does not have": (
        {"train": correct_rows(20, call=None, answer=XML)},
        "parser",
        "error",
    ),
    "13 two formats of calls in one set": (
        {"train": correct_rows(20) + correct_rows(10, 50, call=None, answer=JSON)},
        "formats",
        "error",
    ),
    "25 template tokens in texts": (
        {"train": [*correct_rows(20), row(70, answer="Done.<|endoftext|>")]},
        "markers",
        "error",
    ),
    "25 the base's own special tokens in texts": (
        {"train": [*correct_rows(20), row(70, result="<tool_response>x")]},
        "markers",
        "error",
    ),
    "25 template tokens in reasoning": (
        {"train": [*correct_rows(20), with_reasoning(row(70), "Done.<tool_response>")]},
        "markers",
        "error",
    ),
    "preference data": (
        {"train": [*correct_rows(20), row(70) | {"form": "preference", "label": False}]},
        "preference",
        "error",
    ),
    "several system prompts": (
        {"train": correct_rows(12) + correct_rows(10, 50, system="Be brief.")},
        "systems",
        "warning",
    ),
    "placeholder results": ({"train": correct_rows(20, result="...")}, "placeholders", "warning"),
    "no answer at the end": ({"train": [*correct_rows(20), row(70, answer=None)]}, "turns", "warning"),
    "calls that do not fit their tools": ({"train": correct_rows(20, call=("fly", {}))}, "calls", "warning"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_failure_that_rows_show_is_found(case, tmp_path):
    splits, check, level = CASES[case]
    findings = worst_findings(tmp_path, **splits)
    assert check in findings, findings
    assert findings[check].level == level
    assert findings[check].where == "data/x"
    assert 0 < findings[check].share <= 1


def test_correct_rows_have_no_findings(tmp_path):
    assert worst_findings(tmp_path, train=correct_rows(30)) == {}


def test_pairs_are_no_failure_where_a_loss_compares_them(tmp_path):
    pair = {"form": "preference", "rejected": [message("assistant", "No.")]}
    pairs = [each | pair for each in correct_rows(20)]
    assert "preference" not in worst_findings(tmp_path, train=pairs, valid=pairs[:4], pairs=True)
    spoiled = [row(70), row(71) | pair | {"answer_messages": 99}]
    findings = worst_findings(tmp_path, train=[*pairs[:1], *spoiled, *pairs[1:]], valid=pairs[:4], pairs=True)
    assert "of 26 (first train.jsonl:" in findings["preference"].problem


def test_raw_text_has_no_turns_and_no_system_prompt(tmp_path):
    raw = [{"messages": [message("assistant", f"Text {word(n, '')}.")], "form": "text"} for n in range(22)]
    refuses = tmp_path / "base"
    shutil.copytree(paths.nano(), refuses, ignore=shutil.ignore_patterns("*.py", "*.safetensors"))
    (refuses / "chat_template.jinja").write_text("{{ raise_exception('a user must begin') }}")
    assert worst_findings(tmp_path, train=raw[2:], valid=raw[:2], tokenizer=load_tokenizer(refuses)) == {}


def test_calls_as_text_in_the_bases_own_markup_are_read(tmp_path):
    assert "parser" not in worst_findings(tmp_path, train=correct_rows(20, call=None, answer=JSON))


@pytest.mark.parametrize(
    ("template", "check"),
    [
        ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}", "tools"),
        (
            "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}",
            "template",
        ),
    ],
)
def test_a_template_without_tools_cannot_render_rows_with_tools(tmp_path, template, check):
    findings = worst_findings(tmp_path, train=correct_rows(12), tokenizer=load_tokenizer(base_with(tmp_path, template)))
    assert findings[check].level == "error"


def base_with(folder: Path, template: str, ends: bool = True) -> Path:
    """Write the tokenizer of a base with another template; `ends`: with tokens that end generation."""
    base = folder / "base"
    shutil.copytree(paths.nano(), base, ignore=shutil.ignore_patterns("*.py", "*.safetensors"))
    (base / "chat_template.jinja").write_text(template)
    if not ends:
        for name in ("config.json", "tokenizer_config.json"):
            values = json.loads((base / name).read_text())
            (base / name).write_text(json.dumps({key: value for key, value in values.items() if "eos_" not in key}))
        (base / "generation_config.json").unlink()
    return base


HEAD = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
LLAMA_CALLS = (
    '{% for c in m.tool_calls or [] %}{"name": "{{ c.function.name }}", '
    '"parameters": {{ c.function.arguments | tojson }}}'
    "{% endfor %}"
)
UNKNOWN_CALLS = (
    "{% for c in m.tool_calls or [] %}(({{ c.function.name }}: {{ c.function.arguments | tojson }})){% endfor %}"
)
OF_CALLS = {  # calls in the template, calls of the rows as markup in their text -> check -> level
    (LLAMA_CALLS, ""): {"served": "warning"},
    (UNKNOWN_CALLS, ""): {"parser": "error"},
    ("", ""): {"tools": "error", "lost": "error"},
    ("", JSON): {"served": "warning"},
    (LLAMA_CALLS, JSON): {"parser": "error", "markers": "error"},
}


@pytest.mark.parametrize(("calls", "markup"), OF_CALLS)
def test_calls_are_read_where_the_server_has_no_parser(tmp_path, calls, markup):
    """Each advice is one that can be followed: a base that writes no calls is not asked for tool_calls."""
    template = HEAD + calls + "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    rows = correct_rows(20, call=None, answer=markup) if markup else correct_rows(20)
    folder = tmp_path / "rows"
    folder.mkdir()
    base = base_with(tmp_path, template)
    without_parser(base)
    base = load_tokenizer(base)
    findings = worst_findings(folder, train=rows, valid=correct_rows(4, 900, call=None), tokenizer=base)
    assert {check: finding.level for check, finding in findings.items()} == OF_CALLS[calls, markup]
    advice = " ".join(finding.advice for finding in findings.values())
    assert ("with a dialect" in advice) == (calls == LLAMA_CALLS and bool(markup))


def without_parser(base: Path) -> None:
    """Remove the parser that the tokenizer of a base states."""
    config = json.loads((base / "tokenizer_config.json").read_text())
    del config["tool_parser_type"]
    (base / "tokenizer_config.json").write_text(json.dumps(config))


TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
UNLIKE_SERVED = {  # template, whether it has tokens that end generation -> (check, level)
    ("{% for m in messages if m.role != 'system' %}" + TURN + "<|im_end|>\n{% endfor %}" + PROMPT, True): (
        "lost",
        "error",
    ),
    ("{% for m in messages if m.role != 'tool' %}" + TURN + "<|im_end|>\n{% endfor %}" + PROMPT, True): (
        "lost",
        "error",
    ),
    ("{% for m in messages %}" + TURN + "\n{% endfor %}" + PROMPT, False): ("ends", "error"),
    ("{% for m in messages %}" + TURN + "<|im_end|>\n{% endfor %}" + PROMPT.replace("nt\n", "nt\n<think>\n"), True): (
        "thoughts",
        "warning",
    ),
}


@pytest.mark.parametrize(("template", "ends"), UNLIKE_SERVED)
def test_what_a_template_drops_or_leaves_open_is_found(tmp_path, template, ends):
    check, level = UNLIKE_SERVED[template, ends]
    tokenizer = load_tokenizer(base_with(tmp_path, template, ends))
    assert worst_findings(tmp_path, train=correct_rows(12), tokenizer=tokenizer)[check].level == level
