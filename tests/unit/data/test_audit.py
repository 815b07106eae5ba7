from __future__ import annotations

import msgspec
import pytest

from punie_build.data.audit import AuditFinding, audit
from punie_build.data.audit_checks import CHECKS, AuditedRow, removed_marker
from punie_build.data.dialects import normalize
from punie_build.data.example import Example, Function, Message, ToolCallEntry


def chat(*texts: str, roles: str = "user assistant") -> Example:
    return Example(tuple(Message(role, text) for role, text in zip(roles.split() * 9, texts, strict=False)))


def audited(*examples: Example, split: str = "train", dialect: str = "messages", removed: str = "") -> list[AuditedRow]:
    return [
        AuditedRow(split, f"{split}.jsonl:{line}", example, dialect, removed)
        for line, example in enumerate(examples, 1)
    ]


def findings(rows: list[AuditedRow]) -> dict[str, AuditFinding]:
    return {finding.problem: finding for finding in audit(lambda: rows)}


def problems(
    *examples: Example, dialect: str = "messages", removed: str = ""
) -> dict[str, tuple[int, tuple[str, ...]]]:
    rows = audited(*examples, dialect=dialect, removed=removed)
    return {problem: (finding.count, finding.locations) for problem, finding in findings(rows).items()}


GOOD = chat("hello", "hi")
CALL = Message("assistant", None, (ToolCallEntry(Function("f", "{}"), "1"),))
EXAMPLES = {
    "calls and results written as text": (GOOD, "hermes"),
    "end-of-text markers that a dataset removes": (GOOD, "messages", "b<|endoftext|>"),
    "end-of-text markers in the text": (chat("a", "b<|endoftext|>"), "messages"),
    "markers of calls in an answer": (chat("a", '[TOOL_CALLS][{"name": "f"}]'), "messages"),
    "several system messages": (chat("a", "b", "c", "d", roles="system system user assistant"), "messages"),
    "empty or placeholder tool results": (
        Example((Message("user", "q"), CALL, Message("tool", "...", None, "1"), Message("assistant", "done"))),
        "messages",
    ),
    "no assistant at the end": (chat("only"), "messages"),
    "answers without a question": (chat("a", roles="assistant"), "messages"),
    "empty assistant messages": (chat("q", " "), "messages"),
    "calls that do not fit their tools": (
        Example((Message("user", "q"), CALL), tools_json=msgspec.Raw(b'[{"function": {"name": "g"}}]')),
        "messages",
    ),
    "calls with arguments that their tools do not declare": (
        Example(
            (Message("user", "q"), Message("assistant", None, (ToolCallEntry(Function("f", '{"x": 1}'), "1"),))),
            tools_json=msgspec.Raw(b'[{"function": {"name": "f", "parameters": {"properties": {"y": {}}}}}]'),
        ),
        "messages",
    ),
}


def test_every_check_finds_its_problem_and_accepts_good_rows():
    assert {problem for problem, _, _ in CHECKS} == set(EXAMPLES)
    assert problems(GOOD) == {}
    for problem, (example, dialect, *removed) in EXAMPLES.items():
        assert problems(example, dialect=dialect, removed="".join(removed))[problem] == (1, ("train.jsonl:1",))


@pytest.mark.parametrize(
    "text",
    ["<|python_tag|>{}", "<function_call>{}</function_call>", "<tool_calls>[]", "Action: f\nAction Input: {}",
     "<tool_call>print(1)"],
)  # fmt: skip
def test_calls_of_other_models_in_an_answer_are_found(text):
    assert "markers of calls in an answer" in problems(chat("a", text))
    assert "markers of calls in an answer" not in problems(chat(text, "It is a call."))


SAMPLES = {
    "end-of-text markers in the text": "b<|endoftext|>",
    "end-of-text markers that a dataset removes": "b<|endoftext|>",
    "several system messages": "b",
    "empty or placeholder tool results": "'...'",
    "no assistant at the end": "user: only",
}


def test_a_finding_has_a_sample_of_the_text():
    for problem, sample in SAMPLES.items():
        example, dialect, *removed = EXAMPLES[problem]
        finding = findings(audited(example, example, dialect=dialect, removed="".join(removed)))[problem]
        assert finding.sample == sample
        assert f"{problem}: 2 of 2 rows (100%) - first train.jsonl:1, train.jsonl:2\n    such as: {sample}\n    " in (
            finding.sentence()
        )
    long = audited(chat("q", f"{'word ' * 99}end<|endoftext|>{' more' * 99}"))
    finding = findings(long)["end-of-text markers in the text"]
    assert finding.sample.startswith("...d word")
    assert "end<|endoftext|> more" in finding.sample
    assert len(finding.sample) <= 90


GLAIVE = "SYSTEM: You are a helpful assistant."
RECORDS = [
    ({"messages": [{"role": "system", "content": GLAIVE}, {"role": "assistant", "content": "ü <|endoftext|>"}]}, "ü <"),
    ({"system": GLAIVE, "chat": "USER: a\n\n\nASSISTANT: b <|endoftext|>"}, "USER: a ASSISTANT: b <|endoftext|>"),
    ({"text": "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>"}, ""),
    (
        {"text": "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|><|endoftext|>"},
        "..._end|> <|im_start|>assistant b<|im_end|><|endoftext|>",
    ),
    ({"conversations": [{"from": "human", "value": "a</s>"}, {"from": "gpt", "value": "b"}]}, ""),
    ({"instruction": "a", "output": "b", "stop": "</s>"}, ""),
    ({"messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}], "end": ["</s>"]}, ""),
]


@pytest.mark.parametrize(("record", "start"), RECORDS)
def test_removed_markers_are_found_in_the_record(record: dict, start: str):
    """Markers that the row still has, and those in keys that are not text of the conversation, are not removed ones."""
    row = normalize.to_canonical(record)
    sample = removed_marker(record, row)
    assert sample.startswith(start)
    assert bool(sample) == bool(start)


def test_duplicates_and_templates_are_counted():
    duplicates = problems(chat("same", "x"), chat("Same", "x"))
    assert duplicates["exact duplicates of other rows"][0] == 1
    templates = problems(*(chat(f"add {n} and 1", f"{n + 1}") for n in range(20)))
    assert templates["templates: 1 texts that differ in more than numbers"][0] == 19


def test_several_prompts_and_dialects_are_reported():
    two = [chat(prompt, "q", "a", roles="system user assistant") for prompt in ("one", "two")]
    assert "2 different system prompts" in problems(*two)
    rows = [*audited(GOOD, dialect="hermes"), *audited(chat("x", "y"))]
    assert any(finding.problem.startswith("mixed dialects (hermes 1, messages 1)") for finding in audit(lambda: rows))


def test_overlaps_are_reported_with_both_locations():
    rows = [*audited(chat("other", "thing"), GOOD), *audited(chat("a", "b"), GOOD, split="valid")]
    [overlap] = [finding for finding in audit(lambda: rows) if "equal a training row" in finding.problem]
    assert (overlap.count, overlap.total, overlap.locations) == (1, 2, ("valid.jsonl:2 = train.jsonl:2",))
    assert "1 of 2 rows (50%) - first valid.jsonl:2 = train.jsonl:2" in overlap.sentence()


def test_overlaps_of_validation_and_test_are_reported_too():
    valid = audited(chat("add 1 and 1", "2"), GOOD, split="valid")
    test = audited(chat("add 7 and 8", "15"), chat("hello", "other words"), split="test")
    by_problem = findings([*audited(chat("other", "thing")), *valid, *test])
    assert not [problem for problem in by_problem if problem.startswith("held-out")]
    template = by_problem["test rows that equal a validation row except for numbers"]
    assert template.locations == ("test.jsonl:1 = valid.jsonl:1",)
    assert by_problem["test rows with the first question of a validation row"].locations == (
        "test.jsonl:2 = valid.jsonl:2",
    )
