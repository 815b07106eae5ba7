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

SCORED: list[str] = []


class Length(ScoredFilter, frozen=True, kw_only=True):
    """Keep short questions. `unit` affects the score, `most` only the decision."""

    SCORED_BY: ClassVar = ("unit",)
    most: int = 3
    unit: int = 1

    def scorer(self, context: FilterContext) -> Callable[[Example], Any]:
        def score(example: Example) -> int:
            SCORED.append(example.group_key())
            return len(example.group_key()) // self.unit

        return score

    def accepts(self, score: Any) -> bool:
        return score <= self.most


def chat(text: str) -> Example:
    return Example((Message("user", text),))


@pytest.fixture
def scored() -> list[str]:
    SCORED.clear()
    return SCORED


def run(path: Path, filter_: Length, *texts: str) -> list[bool]:
    keep, flush = score_cache.cached_predicate(filter_, FilterContext(), path)
    results = [keep(chat(text)) for text in texts]
    flush()
    return results


def test_an_example_is_scored_once_for_any_threshold(tmp_path, scored):
    path = tmp_path / "memo.db"
    assert run(path, Length(), "a", "abcd") == [True, False]
    assert run(path, Length(most=9), "a", "abcd") == [True, True]
    assert scored == ["a", "abcd"]
    assert run(path, Length(), "a", "new") == [True, True]
    assert scored == ["a", "abcd", "new"]


def test_another_parameter_of_the_score_needs_new_scores(tmp_path, scored):
    run(tmp_path / "memo.db", Length(), "abcd")
    assert run(tmp_path / "memo.db", Length(unit=2), "abcd") == [True]
    assert len(scored) == 2
    assert score_cache.scorer_key(Language(languages=("en",)), FilterContext()) == score_cache.scorer_key(
        Language(languages=("de",), min_score=0.1), FilterContext()
    )
    assert score_cache.scorer_key(Language(languages=("en",)), FilterContext()) != score_cache.scorer_key(
        Language(languages=("en",), min_chars=9), FilterContext()
    )
    assert score_cache.scorer_key(Language(languages=("en",)), FilterContext()) != score_cache.scorer_key(
        PythonVersion(), FilterContext()
    )


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, scored):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "memo.db", Length(), "a") == [True]
    (tmp_path / "torn.db").write_bytes(b"no database" * 100)
    assert run(tmp_path / "torn.db", Length(), "a") == [True]
    assert scored == ["a", "a"]


def test_a_stage_has_the_same_result_with_a_cache_and_without(tmp_path):
    def filtered(most: int, name: str, context: FilterContext) -> dict[str, bytes]:
        source, out = tmp_path / f"in{name}", tmp_path / f"out{name}"
        source.mkdir()
        out.mkdir()
        build_dataset("d", Dataset(source=Sample(max_examples=most)), tmp_path, source)
        build_stage("s", Stage(from_="d", filters=(Language(languages=("en",)), PythonVersion())), source, out, context)
        return {path.name: path.read_bytes() for path in out.iterdir()}

    cached = FilterContext(score_cache=tmp_path / "memo.db")
    filtered(100, "first", cached)
    assert filtered(120, "grown", cached) == filtered(120, "plain", FilterContext())
    database = sqlite3.connect(tmp_path / "memo.db")
    tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
    counts = [database.execute(f"select count(*) from {name}").fetchone()[0] for name in tables]
    database.close()
    assert len(tables) == 2
    assert 60 < min(counts) <= max(counts) <= 120


def test_token_counts_are_cached_by_the_tokenizer_not_by_its_name(tmp_path):
    for name, suffix in (("a", ""), ("b", ""), ("c", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text("{}" + suffix)
    context = FilterContext(bases={name: tmp_path / name for name in "abc"})
    a, b, c = (score_cache.scorer_key(MaxTokens(tokens=9, base=name), context) for name in "abc")
    assert a == b != c
    assert a == score_cache.scorer_key(MaxTokens(tokens=3, base="a"), context)
