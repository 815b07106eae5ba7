from __future__ import annotations

import hashlib
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.schema.spec import Spec, TaggedSpec, arguments_name, canonical, classes, digest, structs, toml


class Small(TaggedSpec, frozen=True, kw_only=True, tag="small"):
    size: int = 1


class Box(Spec, frozen=True, kw_only=True):
    name: str
    items: tuple[Small, ...] = ()
    by_name: dict[str, Small] = msgspec.field(default_factory=dict)


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_canonical_text_has_sorted_keys_and_no_spaces():
    assert canonical({"b": 1, "a": [True, None]}) == b'{"a":[true,null],"b":1}'
    assert canonical(Small(size=2)) == b'{"type":"small","size":2}'


def test_a_digest_is_the_sha256_of_the_canonical_text():
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_keys_does_not_change_a_digest(table):
    assert digest(table) == digest(dict(reversed(table.items())))


def test_specs_of_equal_values_are_equal_and_frozen():
    assert Box(name="a") == Box(name="a")
    with pytest.raises(AttributeError):
        Box(name="a").name = "b"


def test_simple_arguments_are_a_part_of_a_file_name_and_others_a_digest():
    assert arguments_name({"b": 1, "a": False}) == "a-false,b-1"
    assert arguments_name({"a": "x/y"}) == digest({"a": "x/y"})[:12]
    assert arguments_name({"a": 10**70}) == digest({"a": 10**70})[:12]


@given(VALUES)
def test_a_value_written_as_toml_is_read_back(value):
    assert tomllib.loads(f"x = {toml(value)}") == {"x": value}


def test_keys_of_a_toml_table_are_quoted_where_needed():
    assert toml({"a-b_1": 1, "a.b": 2, "": "x\x7f"}) == '{ a-b_1 = 1, "a.b" = 2, "" = "x\\u007f" }'
    assert toml(("a", 2.5)) == '["a", 2.5]'


def test_structs_and_classes_of_a_value_are_those_inside_it():
    first, second = Small(size=1), Small(size=2)
    box = Box(name="a", items=(first,), by_name={"x": second})
    assert list(structs(box)) == [box, second, first]
    assert list(structs({"a": (box, 3)})) == [box, second, first]
    assert list(structs("text")) == list(structs(None)) == []
    assert classes((box, 3)) == {Box, Small}


def test_numbers_that_json_does_not_have_are_written_as_toml():
    assert tomllib.loads(f"x = {toml([float('inf'), -float('inf'), -0.0, 1e22])}")["x"] == [
        float("inf"),
        -float("inf"),
        0.0,
        1e22,
    ]
    assert toml(float("nan")) == "nan"
