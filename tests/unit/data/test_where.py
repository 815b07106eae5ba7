from __future__ import annotations

import msgspec
import pytest

from punie_build.data.example import Example, decode_example
from punie_build.data.filter_chain import FilterChain
from punie_build.data.filters.union import AnyFilter, C4Quality, FilterContext, GopherQuality, Where
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
