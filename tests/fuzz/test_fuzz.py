"""The short form of the fuzz run (`tests/fuzz/run.py`): a few cases of each engine's kind, always the same, and those that once broke a law."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from punie_build.data.filters.union import Language, PythonVersion, Secrets
from punie_build.data.transforms import Redact, StripMarkers
from tests.fuzz import byte_inputs as fuzz_bytes
from tests.fuzz import cases as fuzz_cases
from tests.fuzz import laws as fuzz_laws
from tests.fuzz.laws import Case


def chat(answer: str, **more: object) -> bytes:
    said = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": said, **more}).encode()


FOUND = {
    "old Python's parser knows no such number": Case(
        "all.jsonl", chat("```\n¼ print\n```"), filters=(PythonVersion(),)
    ),
    "a marker that removing one makes": Case("all.jsonl", chat("a <|endof<|im_end|>text|>"), maps=(StripMarkers(),)),
    "a number beside the messages that no float holds": Case(
        "all.jsonl",
        chat("<|endoftext|>", x="@").replace(b'"@"', b"[1e400, 1.00]"),
        maps=(StripMarkers(), Redact()),
    ),
    "a label behind the tools of a prompt": Case(
        "all.jsonl", json.dumps({"system": '<tools>{"name": "f"}</tools>SYSTEM: SYSTEM: ', "chat": "USER: a"}).encode()
    ),
    "one word of a megabyte": Case("all.jsonl", chat("x" * 2**20), filters=(Language(languages=("en",)),)),
    "a megabyte of tags that are not closed": Case(
        "all.jsonl", chat("<tool_call> " * 80_000), "messages", filters=(Language(languages=("en",)),)
    ),
    "a prompt that announces thousands of tools": Case(
        "all.jsonl",
        json.dumps(
            {
                "system": 'You, with access to the following functions. Use them if required -\n{"name": "f"}' * 3000,
                "chat": "USER: a",
            }
        ).encode(),
    ),
    "a prompt of thousands of blocks of tools": Case(
        "all.jsonl", json.dumps({"system": '<tools>{"name": "f"}</tools>' * 3000, "chat": "USER: a"}).encode()
    ),
    "many beginnings of tokens": Case("all.jsonl", chat("eyJ-" * 2**16), filters=(Secrets(),)),
}


@settings(max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(fuzz_cases.cases())
def test_whatever_a_file_holds_the_laws_hold(tmp_path_factory, case):
    assert fuzz_laws.hold(case, tmp_path_factory.mktemp("case")) in ("rows", "refused", "empty")


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_what_once_broke_a_law_holds_to_it(tmp_path: Path, case: Case):
    with fuzz_laws.in_time():
        assert fuzz_laws.hold(case, tmp_path) == "rows"


def test_bytes_are_rows_or_refused_whatever_is_changed_in_them():
    chance, found = random.Random(0), set[str]()
    for seed in fuzz_bytes.seeds():
        for _ in range(12):
            at, size = chance.randrange(2, len(seed) + 1), chance.choice((0, 1, 9))
            found.add(fuzz_bytes.hold(seed[:at] + chance.randbytes(chance.choice((0, 1, 3))) + seed[at + size :]))
    assert found == {"rows", "refused"}
