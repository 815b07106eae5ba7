"""Arguments of calls against their declarations; the package jsonschema is the oracle."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.filters.tool_schemas import argument_validator

NODE = {"type": "object", "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}}}
ONE = {"properties": {"b": {}}}
CIRCLE = {"$ref": "#/$defs/circle"}
CASES = [  # (schema of the argument x, right values, wrong values)
    ({"type": "string", "enum": ["c", "f"]}, ["c"], ["k", 1]),
    ({"enum": [1, None, "a"]}, [1, None], [2]),
    ({"const": 3}, [3], [4]),
    ({"type": "array", "items": {"type": "integer"}}, [[], [1, 2]], [["x"], [1, "x"], {}]),
    ({"type": "array", "items": {"enum": ["a"]}, "minItems": 1}, [["a"]], [[], ["b"]]),
    ({"type": "array", "prefixItems": [{"type": "string"}]}, [["a", 1]], [[1]]),
    ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, [{"a": 1}], [{}, {"a": "1"}]),
    ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, ["a", 1], [1.5, None]),
    ({"oneOf": [{"minimum": 3}, {"maximum": 5}]}, [1, 9], [4]),
    ({"allOf": [{"minimum": 3}, {"maximum": 5}]}, [4], [1, 9]),
    ({"type": "integer", "minimum": 0, "maximum": 9}, [0, 9, 3.0], [-1, 10, 2.5, True, "1"]),
    ({"type": "string", "pattern": "^a+$", "maxLength": 3}, ["aa"], ["b", "aaaa"]),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"z": 1}], [{"z": "1"}]),
    ({"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": False}, [{"x-a": 1}], [{"a": 1}]),
    ({"type": ["string", "null"]}, [None, "a"], [1]),
    ({"$ref": "#/$defs/node"}, [{"value": 1, "next": {"value": 2}}], [{"value": 1, "next": {"value": "2"}}]),
    ({"type": "number"}, [1, 1.5], ["1", True]),
    ({"type": "boolean"}, [True], [1, "true"]),
    ({"not": {"type": "string"}}, [1], ["a"]),
]
OTHER_FORMS = [  # what is not JSON Schema, but is written
    ({"type": "string", "nullable": True}, [None, "a"], [1]),
    ({"type": "string", "nullable": True, "enum": ["a"]}, [None, "a"], ["b"]),
    ({"type": "STRING"}, ["a"], [1]),
    ({"type": "ARRAY", "items": {"type": "INTEGER"}}, [[1]], [["a"]]),
    ({"type": "dict", "properties": {"a": {"type": "float"}}}, [{"a": 1}], [{"a": "b"}, 1]),
    ({"type": "tuple", "items": {"type": "str"}}, [["a"]], [[1]]),
    ({"type": "any"}, [1, "a", None], []),
    ({"type": "string", "required": True}, ["a"], [1]),
    ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, [1], [0]),
    ({"type": "string", "pattern": "("}, ["a"], [1]),
    ({"$ref": "https://example.org/schema.json"}, [1, "a"], []),
    ({"$ref": "#/components/schemas/X"}, [1, "a"], []),
    ({"type": "string", "enum": "a"}, ["a", "b"], [1]),
    ({"type": 7, "properties": 3, "items": 4}, [1], []),
    ({"type": "string", "x-nullable": True}, [None, "a"], [1]),
    ({"type": "string", "nullable": "true"}, [None, "a"], [1]),
    ({"type": "str, optional"}, ["a"], [1, None]),
    ({"type": "List[str]"}, [["a"]], ["a"]),
    ({"type": "string[]"}, [["a"]], ["a"]),
    ({"type": "Dict[str, int]"}, [{"a": 1}], [[1]]),
    ({"type": "Optional[int]"}, [1, None], ["a"]),
    ({"type": "Union[str, List[int]]"}, ["a", [1]], [1]),
    ({"type": "int | None"}, [1, None], ["a"]),
    ({"type": "string or number"}, ["a", 1], [[]]),
    ({"type": "Weekday"}, ["a", 1], []),
    ({"properties": {"a": {"required": True}, "b": {"required": False}}}, [{"a": 1}], [{"b": 1}, {}]),
    ({"properties": {"a": {}}, "required": "a"}, [{"a": 1}], [{}]),
    ({"$ref": "#/$defs/circle"}, [1, {"a": 1}], []),
]


def parameters(schema: object) -> dict[str, object]:
    return {"type": "object", "properties": {"x": schema}, "$defs": {"node": NODE, "circle": CIRCLE}}


@pytest.mark.parametrize(("schema", "right", "wrong"), CASES + OTHER_FORMS)
def test_right_arguments_are_valid_and_wrong_ones_are_not(schema, right, wrong):
    for unknown in (True, False):
        validate = argument_validator(parameters(schema), unknown)
        assert all(validate({"x": value}) for value in right)
        assert not any(validate({"x": value}) for value in wrong)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.sampled_from([2.0, 2.5, "a", "aaaa", "c", "x-a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "x-a", "value"]), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("schema", [schema for schema, _, _ in CASES])
@given(value=VALUES)
def test_verdicts_equal_those_of_jsonschema(schema, value):
    oracle = jsonschema.Draft202012Validator(parameters(schema)).is_valid({"x": value})
    assert argument_validator(parameters(schema), unknown=True)({"x": value}) == oracle


@pytest.mark.parametrize(
    ("schema", "arguments", "valid"),
    [
        ({"properties": {"city": {}}}, {"city": 1, "town": 2}, False),
        ({"properties": {"city": {}}}, {"city": 1}, True),
        ({"properties": {}}, {"city": 1}, False),
        ({}, {"city": 1}, True),
        ({"properties": {"city": {}}, "additionalProperties": True}, {"town": 2}, True),
        ({"properties": {"a": {"properties": {"b": {}}}}}, {"a": {"c": 1}}, False),
        ({"properties": {"a": {"type": "array", "items": {"properties": {"b": {}}}}}}, {"a": [{"c": 1}]}, False),
        ({"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]}, {"a": 1, "b": 2}, True),
        ({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}]}, {"a": 1, "c": 2}, False),
        ({"properties": {"a": {}}, "patternProperties": {"^x-": {}}}, {"x-a": 1}, True),
        ({"properties": {"a": {"anyOf": [ONE, {"type": "null"}]}}}, {"a": {"c": 1}}, False),
        ({"properties": {"a": {"anyOf": [ONE, {"type": "null"}]}}}, {"a": {"b": 1}}, True),
        ({"properties": {"a": {"anyOf": [ONE, {"type": "object"}]}}}, {"a": {"c": 1}}, True),
        ({"properties": {"a": {"$ref": "#/$defs/one"}}, "$defs": {"one": ONE}}, {"a": {"c": 1}}, False),
        ({"properties": {"a": {"$ref": "#/$defs/one"}}, "$defs": {"one": ONE}}, {"a": {"b": 1}}, True),
        ({"properties": {"a": {"$ref": "#/$defs/any"}}, "$defs": {"any": {"type": "object"}}}, {"a": {"c": 1}}, True),
        ({"allOf": [ONE, {"properties": {"d": {}}}]}, {"b": 1, "d": 2}, True),
        ({"allOf": [ONE, {"properties": {"d": {}}}]}, {"b": 1, "c": 2}, False),
        ({"a": {"type": "integer"}, "n": {}}, {"c": 1}, False),
    ],
)
def test_unknown_arguments_are_wrong_if_the_filter_says_so(schema, arguments, valid):
    assert argument_validator(schema, unknown=False)(arguments) is valid
    assert argument_validator(schema, unknown=True)(arguments)


@pytest.mark.parametrize(
    "declared",
    [
        {"type": "object", "properties": {"n": {"type": "integer", "required": True}}},
        '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}',
        {"n": {"description": "d", "type": "int", "required": True}},
        [{"name": "n", "type": "integer", "required": True}],
    ],
)
def test_parameters_may_be_text_a_list_or_bare_properties(declared):
    validate = argument_validator(declared, unknown=False)
    assert [validate(arguments) for arguments in ({"n": 1}, {"n": "x"}, {}, {"n": 1, "z": 2})] == [True] + [False] * 3


@pytest.mark.parametrize("declared", [None, {}, "none", 7, [], ["n"], [{"type": "integer"}]])
def test_other_declarations_constrain_nothing(declared):
    assert argument_validator(declared, unknown=True)({"n": 1})


def test_deep_schemas_and_deep_arguments_do_not_raise():
    schema: dict[str, object] = {"type": "integer"}
    value: object = 1
    for _ in range(400):
        schema, value = {"type": "array", "items": schema}, [value]
    argument_validator({"type": "object", "properties": {"x": schema}}, unknown=False)({"x": value})
