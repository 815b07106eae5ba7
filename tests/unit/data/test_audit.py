from __future__ import annotations

import msgspec
import pytest

from punie_build.data.audit import LOOKS, Finding, Seen, audit, taken
from punie_build.data.dialects import normalize
from punie_build.data.example import Example, Function, Message, ToolCallEntry


def chat(*texts: str, roles: str = "user assistant") -> Example:
    return Example(tuple(Message(role, text) for role, text in zip(roles.split() * 9, texts, strict=False)))


def seen(*examples: Example, side: str = "train", dialect: str = "messages", gone: str = "") -> list[Seen]:
    return [Seen(side, f"{side}.jsonl:{line}", each, dialect, gone) for line, each in enumerate(examples, 1)]


def findings(rows: list[Seen]) -> dict[str, Finding]:
    return {finding.what: finding for finding in audit(lambda: rows)}


def found(*examples: Example, dialect: str = "messages", gone: str = "") -> dict[str, tuple[int, tuple[str, ...]]]:
    rows = seen(*examples, dialect=dialect, gone=gone)
    return {what: (finding.count, finding.places) for what, finding in findings(rows).items()}


GOOD = chat("hello", "hi")
CALL = Message("assistant", None, (ToolCallEntry(Function("f", "{}"), "1"),))
ODD = {
    "calls and results written as text": (GOOD, "hermes"),
    "end-of-text markers that a dataset leaves out": (GOOD, "messages", "b<|endoftext|>"),
    "end-of-text markers in the text": (chat("a", "b<|endoftext|>"), "messages"),
    "several system messages": (chat("a", "b", "c", "d", roles="system system user assistant"), "messages"),
    "empty or placeholder tool results": (
        Example((Message("user", "q"), CALL, Message("tool", "...", None, "1"), Message("assistant", "done"))),
        "messages",
    ),
    "no assistant at the end": (chat("only"), "messages"),
    "empty assistant messages": (chat("q", " "), "messages"),
    "calls that do not fit their tools": (
        Example((Message("user", "q"), CALL), tools_json=msgspec.Raw(b'[{"function": {"name": "g"}}]')),
        "messages",
    ),
}


def test_every_look_finds_what_it_looks_for_and_leaves_good_rows_alone():
    assert {what for what, _, _ in LOOKS} == set(ODD)
    assert found(GOOD) == {}
    for what, (example, dialect, *gone) in ODD.items():
        assert found(example, dialect=dialect, gone="".join(gone))[what] == (1, ("train.jsonl:1",))


SHOWN = {
    "end-of-text markers in the text": "b<|endoftext|>",
    "end-of-text markers that a dataset leaves out": "b<|endoftext|>",
    "several system messages": "b",
    "empty or placeholder tool results": "'...'",
    "no assistant at the end": "user: only",
}


def test_a_finding_shows_the_words_it_is_about():
    for what, words in SHOWN.items():
        example, dialect, *gone = ODD[what]
        finding = findings(seen(example, example, dialect=dialect, gone="".join(gone)))[what]
        assert finding.shown == words
        assert f"{what}: 2 of 2 rows (100%) - first train.jsonl:1, train.jsonl:2\n    such as: {words}\n    " in (
            finding.sentence()
        )
    long = findings(seen(chat("q", f"{'word ' * 99}end<|endoftext|>{' more' * 99}")))["end-of-text markers in the text"]
    assert long.shown.startswith("...d word")
    assert "end<|endoftext|> more" in long.shown
    assert len(long.shown) <= 90


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


@pytest.mark.parametrize(("record", "said"), RECORDS)
def test_markers_that_reading_takes_away_are_known_by_the_record(record: dict, said: str):
    """Those a row still has are in its text; those of a key that is nobody's text are none."""
    row = normalize.to_canonical(record)
    words = taken(record, row)
    assert words.startswith(said)
    assert bool(words) == bool(said)


def test_repetitions_and_templates_are_counted():
    told = found(chat("same", "x"), chat("Same", "x"))
    assert told["rows that say what another says"][0] == 1
    told = found(*(chat(f"add {n} and 1", f"{n + 1}") for n in range(20)))
    assert told["templates: 1 texts but for their numbers"][0] == 19


def test_mixed_prompts_and_dialects_are_told():
    two = [chat(prompt, "q", "a", roles="system user assistant") for prompt in ("one", "two")]
    assert "2 different system prompts" in found(*two)
    rows = [*seen(GOOD, dialect="hermes"), *seen(chat("x", "y"))]
    assert any(finding.what.startswith("mixed dialects (hermes 1, messages 1)") for finding in audit(lambda: rows))


def test_leaks_are_told_with_both_places():
    rows = [*seen(chat("other", "thing"), GOOD), *seen(chat("a", "b"), GOOD, side="valid")]
    [leak] = [finding for finding in audit(lambda: rows) if "word for word" in finding.what]
    assert (leak.count, leak.of, leak.places) == (1, 2, ("valid.jsonl:2 = train.jsonl:2",))
    assert "1 of 2 rows (50%) - first valid.jsonl:2 = train.jsonl:2" in leak.sentence()


def test_leaks_from_validation_into_the_test_are_told_too():
    valid = seen(chat("add 1 and 1", "2"), GOOD, side="valid")
    test = seen(chat("add 7 and 8", "15"), chat("hello", "other words"), side="test")
    told = findings([*seen(chat("other", "thing")), *valid, *test])
    assert not [what for what in told if what.startswith("held-back")]
    assert told["test rows that validation has but for their numbers"].places == ("test.jsonl:1 = valid.jsonl:1",)
    assert told["test rows whose question validation has"].places == ("test.jsonl:2 = valid.jsonl:2",)
