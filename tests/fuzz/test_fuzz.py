"""A short form of the fuzz run (`tests/fuzz/run.py`): a few fixed cases of each engine, and past findings."""

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


def chat(answer: str, **fields: object) -> bytes:
    messages = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages, **fields}).encode()


PAST_FINDINGS = {
    "a number that the parser of Python 2 does not know": Case(
        "all.jsonl", chat("```\n¼ print\n```"), filters=(PythonVersion(),)
    ),
    "a marker that results from removing another": Case(
        "all.jsonl", chat("a <|endof<|im_end|>text|>"), maps=(StripMarkers(),)
    ),
    "a number beside the messages that exceeds a float": Case(
        "all.jsonl",
        chat("<|endoftext|>", x="@").replace(b'"@"', b"[1e400, 1.00]"),
        maps=(StripMarkers(), Redact()),
    ),
    "a label after the tools of a prompt": Case(
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


@pytest.mark.slow
@settings(max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(fuzz_cases.cases())
def test_the_laws_hold_for_any_file(tmp_path_factory, case):
    assert fuzz_laws.check(case, tmp_path_factory.mktemp("case")) in ("rows", "refused", "empty")


@pytest.mark.parametrize("case", PAST_FINDINGS.values(), ids=PAST_FINDINGS)
def test_the_laws_hold_for_past_findings(tmp_path: Path, case: Case):
    with fuzz_laws.time_limit():
        assert fuzz_laws.check(case, tmp_path) == "rows"


def test_changed_bytes_give_rows_or_an_error():
    rng, outcomes = random.Random(0), set[str]()
    for seed in fuzz_bytes.seeds():
        for _ in range(12):
            at, size = rng.randrange(2, len(seed) + 1), rng.choice((0, 1, 9))
            outcomes.add(fuzz_bytes.check(seed[:at] + rng.randbytes(rng.choice((0, 1, 3))) + seed[at + size :]))
    assert outcomes == {"rows", "refused"}
