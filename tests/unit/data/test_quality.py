"""`gopher-quality` and `c4-quality` against datatrove, rule by rule: its verdicts are recorded, with its version.

`benchmarks/quality.py --record tests/support/quality_oracle.json` writes them again.
"""

from __future__ import annotations

import json

import pytest

from benchmarks import quality
from tests.support.project import ROOT

ORACLE = json.loads((ROOT / "tests/support/quality_oracle.json").read_text("utf-8"))
PUNCTUATION = "datatrove counts each mark of punctuation as a word, so that short texts have fewer letters a word"
CASE = "datatrove knows stop words in small letters only"
DIFFERENCES = {  # rule -> (the texts that only one of the two keeps, the reason)
    "Gopher: word length": ([43], PUNCTUATION),
    "Gopher: symbols": ([18], PUNCTUATION),
    "Gopher: letters": ([0, 17, 21, 22, 40, 41, 42, 43, 44, 46, 47, 48, 50, 57], PUNCTUATION),
    "Gopher: stop words": ([28, 56], CASE),
    "Gopher: all": ([21, 22, 28, 56, 57], f"{PUNCTUATION}; {CASE}"),
    "C4: curly brackets": ([33, 34], "datatrove leaves out lines without an end of sentence before it looks for them"),
}


@pytest.mark.parametrize("rule", ORACLE["kept"])
def test_verdicts_are_those_of_datatrove_but_for_named_differences(rule):
    keep, texts = quality.ours()[rule], ORACLE["texts"]
    kept = {number for number, text in enumerate(texts) if keep(text)}
    different, _ = DIFFERENCES.get(rule, ([], ""))
    assert sorted(kept ^ set(ORACLE["kept"][rule])) == different


def test_the_texts_try_each_rule_in_both_ways():
    shares = {rule: len(kept) / len(ORACLE["texts"]) for rule, kept in ORACLE["kept"].items()}
    assert {rule for rule, share in shares.items() if not 0 < share < 1} == set()


def test_the_recorded_verdicts_are_those_of_the_installed_datatrove():
    pytest.importorskip("datatrove", reason="needs datatrove and spacy, which are not among the packages for tests")
    for rule, keep in quality.datatrove().items():
        assert [number for number, text in enumerate(ORACLE["texts"]) if keep(text)] == ORACLE["kept"][rule]
