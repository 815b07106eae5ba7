from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from punie_build.data.example import Example, decode_example
from punie_build.data.filter_chain import FilterChain
from punie_build.data.filters.union import AnyFilter, C4Quality, FilterContext, GopherQuality, Where
from punie_build.data.pipeline import build_stage
from punie_build.data.spec import Stage
from punie_build.data.stats import Stats
from punie_build.errors import DataError
from tests.unit.data.test_filters import chat

ROW = {
    "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "long answer"}],
    "category": "a",
    "score": 8,
    "rating": "4.5",
    "label": True,
    "tags": ["x", "y"],
    "meta": {"source": "web", "none": None},
}


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        (Where(key="category", values=("a", "b")), True),
        (Where(key="category", values=("b",)), False),
        (Where(key="category", not_values=("b",)), True),
        (Where(key="category", not_values=("a",)), False),
        (Where(key="score", least=8), True),
        (Where(key="score", least=8.5), False),
        (Where(key="score", most=8), True),
        (Where(key="score", least=1, most=7), False),
        (Where(key="score", values=(8.0,)), True),
        (Where(key="rating", least=4), True),
        (Where(key="label", values=(True,)), True),
        (Where(key="label", values=(1,)), False),
        (Where(key="label", least=0), False),
        (Where(key="tags", values=("y",)), True),
        (Where(key="tags", not_values=("y",)), False),
        (Where(key="tags", least=2, measure="length"), True),
        (Where(key="meta.source", values=("web",)), True),
        (Where(key="meta.none", values=("web",)), False),
        (Where(key="meta.none", values=("web",), missing="keep"), True),
        (Where(key="messages.-1.content", least=11, measure="length"), True),
        (Where(key="messages.-1.content", most=10, measure="length"), False),
        (Where(key="messages", most=2, measure="length"), True),
        (Where(key="messages.7.content", values=("q",)), False),
        (Where(key="absent", values=("q",)), False),
        (Where(key="absent", not_values=("q",), missing="keep"), True),
    ],
)
def test_rows_are_kept_by_the_value_under_a_key(where: Where, kept: bool):
    line = msgspec.json.encode(ROW)
    assert where.line_predicate()(line, decode_example(line)) is kept


@pytest.mark.parametrize("table", [{"key": "a"}, {"key": "a", "least": 2, "most": 1}, {"key": "", "least": 2}])
def test_a_condition_that_says_nothing_is_an_error(table):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "where", **table}, AnyFilter)


def test_a_stage_selects_a_category_by_score(tmp_path):
    rows = [ROW | {"category": "ab"[n % 2], "score": n} for n in range(10)]
    (tmp_path / "train.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    for split in ("valid", "test"):
        (tmp_path / f"{split}.jsonl").touch()
    filters = (Where(key="category", values=("a",)), Where(key="score", least=4))
    [(_, block), *_] = FilterChain((), filters, FilterContext()).run(tmp_path)
    assert [msgspec.json.decode(line)["score"] for line in block.kept] == [4, 6, 8]
    assert sorted({reason for reason, _ in block.dropped}) == [0, 1]


PROSE = "The committee met to discuss the plan that they have with the members of the board and others. " * 4


@pytest.mark.parametrize(
    ("answer", "gopher", "c4"),
    [
        (PROSE, True, False),
        (PROSE.replace(". ", ".\n") + PROSE, True, True),
        ("Too short.", False, False),
        (f"{PROSE}{PROSE} lorem ipsum.", True, False),
        (f"{PROSE}{PROSE} {{", True, False),
        ("# " * 60 + PROSE, False, False),
        ("\n".join(f"- {line}" for line in (PROSE * 3).split(". ") if line), False, False),
        ("\n".join(f"{line} ..." for line in (PROSE * 3).split(". ") if line), False, False),
        ("1 2 3 4 5 6 7 8 9 " * 20, False, False),
        ("lexicalunits without stopwords everywhere " * 20, False, False),
        ("a b c d " * 40, False, False),
        ("Please enable javascript in the browser. " * 8, False, False),
    ],
)
def test_quality_rules_keep_prose_and_drop_the_rest(answer: str, gopher: bool, c4: bool):
    assert GopherQuality().keep(chat("x", answer)) is gopher
    assert C4Quality().keep(chat("x", answer)) is c4


def test_a_number_beyond_a_float_does_not_stop_a_condition():
    line = b'{"messages": [{"role": "user", "content": "x"}], "score": 1, "big": 1e400}'
    assert Where(key="score", least=1).line_predicate()(line, Example(()))
    assert not Where(key="big", most=5).line_predicate()(line, Example(()))


def filtered(tmp_path: Path, *filters: Where, rows: int = 8) -> Stats:
    """Filter rows of which each second one has a score."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    lines = [chat_line(score=number, rating="good") if number % 2 else chat_line() for number in range(rows)]
    for split in ("train", "valid", "test"):
        (source / f"{split}.jsonl").write_bytes(b"".join(lines) if split == "train" else b"")
    return build_stage("s", Stage(from_="d", filters=filters), source, out, allow_empty=True)


def chat_line(**keys: object) -> bytes:
    return msgspec.json.encode({"messages": ROW["messages"], "category": "a", **keys}) + b"\n"


@pytest.mark.parametrize(
    ("where", "note"),
    [
        (
            Where(key="categories", values=("a",)),
            (
                "where: no row has the key 'categories', so that the filter drops all 8;"
                " keys of the rows: messages, category"
                " - did you mean 'category'?"
            ),
        ),
        (
            Where(key="meta.source", values=("a",)),
            (
                "where: no row has the key 'meta.source', so that the filter drops all 8;"
                " keys of the rows: messages, category"
                " - correct `key`"
            ),
        ),
        (
            Where(key="messages.9.content", values=("a",)),
            (
                "where: no row has a value under the key 'messages.9.content', so that the filter"
                " drops all 8 - correct `key`"
            ),
        ),
        (
            Where(key="scor", not_values=(1,), missing="keep"),
            (
                "where: no row has the key 'scor', so that the filter is without an effect; keys of the rows: messages,"
                " category - correct `key`"
            ),
        ),
        (Where(key="score", least=3), "where: 4 of the 5 rows it dropped have no number under 'score'"),
        (Where(key="rating", least=3), "where: no row has the key 'rating', so that"),
        (Where(key="rating", values=("good",)), "where: 4 of the 4 rows it dropped have no value under 'rating'"),
        (Where(key="category", values=("b",)), None),
        (Where(key="score", least=0, missing="keep"), None),
    ],
)
def test_a_key_that_rows_lack_is_told(tmp_path: Path, where: Where, note: str | None):
    notes = [text for text in filtered(tmp_path, where).notes if text.startswith("where: ")]
    assert [text.startswith(note or "") for text in notes] == [True] * (note is not None)


def test_a_row_without_the_key_has_no_part_in_a_later_filter(tmp_path: Path):
    stats = filtered(tmp_path, Where(key="score", least=0), Where(key="rating", values=("bad",)))
    assert [note for note in stats.notes if "where" in note and "empty" not in note] == [
        "where: 4 of the 4 rows it dropped have no number under 'score' - missing = \"keep\" keeps them"
    ]


def test_a_training_split_that_is_emptied_by_a_wrong_key_names_the_key(tmp_path: Path):
    source = tmp_path / "d"
    source.mkdir()
    for split in ("train", "valid", "test"):
        (source / f"{split}.jsonl").write_bytes(chat_line(score=1) if split == "train" else b"")
    with pytest.raises(DataError, match=r"(?s)train is empty.*no row has the key 'scores'.*did you mean 'score'\?"):
        build_stage("s", Stage(from_="d", filters=(Where(key="scores", least=0),)), source, tmp_path)
