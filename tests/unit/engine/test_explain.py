from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from punie_build.engine.explain import differences
from punie_build.storage.locks import KeyInputs
from tests.support.profiles import examples


def key_inputs(recipe: dict, code: str = "c", **inputs: str) -> KeyInputs:
    return KeyInputs(kind="stage", recipe=recipe, code=code, inputs=inputs, tools={})


def changes(old: dict, new: dict) -> list[str]:
    return list(differences(key_inputs(old), key_inputs(new)))


def test_a_changed_value_is_reported_old_and_new():
    assert changes({"lr": 1e-3, "lora": {"rank": 4}}, {"lr": 2e-3, "lora": {"rank": 8}, "seed": 1}) == [
        "recipe.lr: 0.001 -> 0.002",
        "recipe.lora.rank: 4 -> 8",
        "recipe.seed: (none) -> 1",
    ]


def test_a_new_filter_is_one_line_and_a_changed_filter_is_named():
    one, two = {"type": "language", "languages": ["en"]}, {"type": "min-messages", "messages": 2}
    assert changes({"filters": [two]}, {"filters": [one, two]}) == [f"recipe.filters[language]: (none) -> {one}"]
    assert changes({"filters": [one, two]}, {"filters": [one, two | {"messages": 3}]}) == [
        "recipe.filters[min-messages].messages: 2 -> 3"
    ]
    assert changes({"filters": [one, two]}, {"filters": (one, two | {"messages": 3})}) == [
        "recipe.filters[min-messages].messages: 2 -> 3"
    ]
    assert changes({"filters": [one, two]}, {"filters": [two, one]}) == ["recipe.filters: another order"]
    assert changes({"filters": [two, two]}, {"filters": [two]}) == [f"recipe.filters[1]: {two} -> (none)"]


def test_items_of_a_list_are_compared_by_name():
    """One more component of a mix or one more arm is one line, not one for each item behind it."""
    part = {"name": "b", "weight": 1.0, "cap": None}
    assert changes({"from": ["a", part]}, {"from": ["x", "a", part | {"weight": 3.0}]}) == [
        "recipe.from[b].weight: 1.0 -> 3.0",
        "recipe.from[x]: (none) -> x",
    ]
    assert changes({"arms": ["a", "b"]}, {"arms": ["b", "a"]}) == ["recipe.arms: another order"]
    assert changes({"arms": ["a", "b"]}, {"arms": ["a", "c"]}) == [
        "recipe.arms[b]: b -> (none)",
        "recipe.arms[c]: (none) -> c",
    ]
    assert changes({"sizes": [1, 2]}, {"sizes": [1, 3]}) == ["recipe.sizes[1]: 2 -> 3"]


def test_a_difference_is_one_printable_line():
    lines = changes({"path": "a\nb", "x": ""}, {"path": "\x1b[31m\udcff", "x": "ほ"})
    assert lines == [r"recipe.path: a\nb -> \x1b[31m\udcff", "recipe.x: '' -> ほ"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from((0.5, 1.0, 0.0, -0.0, "", "a", "b", "a\nb")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("type", "name", "x")), inner, max_size=3)
    ),
    max_leaves=6,
)


@examples(300)
@given(values, values)
def test_there_are_differences_exactly_if_the_keys_differ(old, new):
    """A stale target always has a reason, and a current target has none."""
    before, after = key_inputs({"v": old}), key_inputs({"v": new})
    assert bool(list(differences(before, after))) == (before.key != after.key)


def test_another_kind_is_reported():
    old, new = key_inputs({}), KeyInputs(kind="mix", recipe={}, code="c", inputs={}, tools={})
    assert list(differences(old, new)) == ["kind: stage -> mix"]


def test_a_digest_is_reported_by_its_first_digits():
    lines = list(differences(key_inputs({}, "old", data="a" * 64), key_inputs({}, "new", data="b" * 64)))
    assert lines == ["inputs.data: aaaaaaaaaaaa -> bbbbbbbbbbbb", "code: old -> new"]


def test_equal_recipes_have_no_differences():
    assert changes({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) == []


def test_numbers_differ_as_in_a_key():
    assert changes({"v": 0.0}, {"v": -0.0}) == ["recipe.v: 0.0 -> -0.0"]
    assert changes({"v": 1}, {"v": 1.0}) == ["recipe.v: 1 -> 1.0"]
    assert changes({"v": float("nan")}, {"v": float("nan")}) == []
