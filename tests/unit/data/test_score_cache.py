from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from punie_build.data.example import Example, Message
from punie_build.data.filters import score_cache
from punie_build.data.filters.union import FilterContext, Language, MaxTokens, PythonVersion, ScoredFilter
from punie_build.data.pipeline import build_dataset, build_stage
from punie_build.data.sources import Sample
from punie_build.data.spec import Dataset, Stage

ASKED: list[str] = []


class Length(ScoredFilter, frozen=True, kw_only=True):
    """Keep short questions; `unit` enters the score, `most` only decides."""

    SCORED_BY: ClassVar = ("unit",)
    most: int = 3
    unit: int = 1

    def scorer(self, context: FilterContext) -> Callable[[Example], Any]:
        def score(example: Example) -> int:
            ASKED.append(example.group_key())
            return len(example.group_key()) // self.unit

        return score

    def accepts(self, score: Any) -> bool:
        return score <= self.most


def chat(text: str) -> Example:
    return Example((Message("user", text),))


@pytest.fixture
def asked() -> list[str]:
    ASKED.clear()
    return ASKED


def judge(path: Path, filter_: Length, *texts: str) -> list[bool]:
    keep, finish = score_cache.cached_predicate(filter_, FilterContext(), path)
    found = [keep(chat(text)) for text in texts]
    finish()
    return found


def test_an_example_is_scored_once_and_a_moved_threshold_scores_nothing(tmp_path, asked):
    path = tmp_path / "memo.db"
    assert judge(path, Length(), "a", "abcd") == [True, False]
    assert judge(path, Length(most=9), "a", "abcd") == [True, True]
    assert asked == ["a", "abcd"]
    assert judge(path, Length(), "a", "new") == [True, True]
    assert asked == ["a", "abcd", "new"]


def test_another_scoring_parameter_scores_anew(tmp_path, asked):
    judge(tmp_path / "memo.db", Length(), "abcd")
    assert judge(tmp_path / "memo.db", Length(unit=2), "abcd") == [True]
    assert len(asked) == 2
    assert score_cache.scorer_key(Language(languages=("en",)), FilterContext()) == score_cache.scorer_key(
        Language(languages=("de",), min_score=0.1), FilterContext()
    )
    assert score_cache.scorer_key(Language(languages=("en",)), FilterContext()) != score_cache.scorer_key(
        Language(languages=("en",), min_chars=9), FilterContext()
    )
    assert score_cache.scorer_key(Language(languages=("en",)), FilterContext()) != score_cache.scorer_key(
        PythonVersion(), FilterContext()
    )


def test_a_memo_that_cannot_be_kept_costs_only_time(tmp_path, asked):
    (tmp_path / "file").write_text("")
    assert judge(tmp_path / "file" / "memo.db", Length(), "a") == [True]
    (tmp_path / "torn.db").write_bytes(b"no database" * 100)
    assert judge(tmp_path / "torn.db", Length(), "a") == [True]
    assert asked == ["a", "a"]


def test_a_stage_gives_the_same_with_and_without_and_after_growing(tmp_path):
    def sifted(most: int, name: str, context: FilterContext) -> dict[str, bytes]:
        source, out = tmp_path / f"in{name}", tmp_path / f"out{name}"
        source.mkdir()
        out.mkdir()
        build_dataset("d", Dataset(source=Sample(max_examples=most)), tmp_path, source)
        build_stage("s", Stage(from_="d", filters=(Language(languages=("en",)), PythonVersion())), source, out, context)
        return {path.name: path.read_bytes() for path in out.iterdir()}

    remembered = FilterContext(score_cache=tmp_path / "memo.db")
    sifted(100, "first", remembered)
    assert sifted(120, "grown", remembered) == sifted(120, "plain", FilterContext())
    book = sqlite3.connect(tmp_path / "memo.db")
    tables = [name for (name,) in book.execute("select name from sqlite_master where type = 'table'")]
    counts = [book.execute(f"select count(*) from {name}").fetchone()[0] for name in tables]
    book.close()
    assert len(tables) == 2
    assert 60 < min(counts) <= max(counts) <= 120


def test_tokens_are_remembered_by_the_tokenizer_not_by_its_name(tmp_path):
    for name, more in (("a", ""), ("b", ""), ("c", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text("{}" + more)
    context = FilterContext(bases={name: tmp_path / name for name in "abc"})
    a, b, c = (score_cache.scorer_key(MaxTokens(tokens=9, base=name), context) for name in "abc")
    assert a == b != c
    assert a == score_cache.scorer_key(MaxTokens(tokens=3, base="a"), context)
