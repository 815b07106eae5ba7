from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from punie_build.schema.spec import Spec, TaggedSpec
from punie_build.schema.validation import mistakes

Count = Annotated[int, Meta(ge=1)]


class Fruit(TaggedSpec, frozen=True, kw_only=True):
    """The base of a union."""

    NOUN: ClassVar[str] = "fruit"


class Apple(Fruit, frozen=True, kw_only=True, tag="apple"):
    weight: Count
    ripe: bool = True


class Pear(Fruit, frozen=True, kw_only=True, tag="pear"):
    length: float = 1.0


class Tool(Spec, frozen=True, kw_only=True, tag_field="form", tag="saw"):
    teeth: int = 1


class Axe(Spec, frozen=True, kw_only=True, tag_field="form", tag="axe"):
    edge: int = 1


class Lid(Spec, frozen=True, kw_only=True):
    color: str = "red"


class Basket(Spec, frozen=True, kw_only=True, rename={"fruits": "fruit"}):
    owner: str
    fruits: tuple[Apple | Pear, ...] = ()
    lid: Lid | None = None
    tool: Tool | Axe | None = None
    names: tuple[str, ...] | str = ()
    count: Count = 1
    either: Annotated[tuple[Count, ...] | int, Meta(description="a number, or numbers")] = 1


class Loose(Struct):
    """A Struct that allows unknown keys."""

    size: int = 0


GOOD = {"owner": "me", "fruit": [{"type": "apple", "weight": 3}, {"type": "pear"}], "lid": {"color": "blue"}}


def found(table: object, key: str | None = None, wanted: object = Basket) -> list[str]:
    return list(mistakes(table, wanted, "basket", key))


def test_a_table_without_mistakes_gives_no_line():
    assert found(GOOD) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"ownr": "me"}, "basket.ownr: unknown key - did you mean 'owner'?"),
        ({"fruits": []}, "basket.fruits: unknown key - did you mean 'fruit'?"),
        ({"count": 0}, "basket.count: expected 'int' >= 1"),
        ({"count": "2"}, "basket.count: expected 'int', got 'str'"),
        ({"fruit": [{"type": "aple"}]}, "basket.fruit[0].type: unknown fruit 'aple' - did you mean 'apple'?"),
        ({"fruit": [{"type": ["apple"]}]}, "basket.fruit[0].type: unknown fruit '['apple']'"),
        ({"fruit": [{"type": {}}]}, "basket.fruit[0].type: unknown fruit '{}' - known: apple, pear"),
        ({"fruit": [{"weight": 1}]}, "basket.fruit[0].type: missing"),
        ({"fruit": [{"type": "pear"}, {"type": "apple"}]}, "basket.fruit[1].weight: missing - it has no default"),
        ({"fruit": [{"type": "pear", "ripe": True}]}, "basket.fruit[0].ripe: unknown key"),
        ({"fruit": {"type": "pear"}}, "basket.fruit: expected 'array', got 'object'"),
        ({"fruit": [3]}, "basket.fruit[0]: expected 'object', got 'int'"),
        ({"lid": {"colr": "red"}}, "basket.lid.colr: unknown key - did you mean 'color'?"),
        ({"lid": 3}, "basket.lid: expected 'object | null', got 'int'"),
        ({"tool": {"form": "sax"}}, "basket.tool.form: unknown kind 'sax'"),
        ({"tool": {"form": "axe", "edge": "sharp"}}, "basket.tool.edge: expected 'int', got 'str'"),
        ({"names": [1]}, "basket.names[0]: expected 'str', got 'int'"),
        ({"names": 1}, "basket.names: expected 'str | array', got 'int'"),
        ({"either": [1, 0]}, "basket.either[1]: expected 'int' >= 1"),
    ],
)
def test_a_mistake_is_a_line_with_its_path(change, line):
    [message] = found(GOOD | change)
    assert message.startswith(line)


def test_all_mistakes_of_a_table_are_reported_at_once():
    lines = found({"count": 0, "fruit": [{"type": "apple", "weight": 0, "ripe": 1}], "lid": {"x": 1}})
    paths = {line.split(": ")[0] for line in lines}
    expected = {"basket.owner", "basket.count", "basket.fruit[0].weight", "basket.fruit[0].ripe", "basket.lid.x"}
    assert paths == expected


def test_items_may_be_named_by_one_of_their_fields():
    fruit = [{"type": "apple"}, {"type": "pear", "length": "long"}, 3]
    lines = found({"owner": "me", "fruit": fruit}, key="type")
    assert [line.split(":")[0] for line in lines] == [
        "basket.fruit[apple].weight",
        "basket.fruit[pear].length",
        "basket.fruit[2]",
    ]


def test_a_path_may_begin_with_a_file():
    [line] = mistakes({}, Basket, "recipes/a.toml: ")
    assert line == "recipes/a.toml: owner: missing - it has no default"
    [line] = mistakes(3, Basket, "recipes/a.toml: ")
    assert line == "recipes/a.toml: expected 'object', got 'int'"


def test_a_struct_that_allows_unknown_keys_keeps_them():
    assert found({"size": 1, "other": 2}, wanted=Loose) == []
    assert found({"size": "x", "other": 2}, wanted=Loose) == ["basket.size: expected 'int', got 'str'"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text() | st.sampled_from(["owner", "fruit", "type", "lid"]), x),
    )
)
def test_a_value_has_mistakes_exactly_if_it_cannot_be_converted(value):
    try:
        msgspec.convert(value, Basket)
    except msgspec.ValidationError:
        assert found(value)
    else:
        assert found(value) == []
