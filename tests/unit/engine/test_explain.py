from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from punie_build.engine.explain import differences
from punie_build.storage.locks import KeyInputs
from tests.support.profiles import examples


def facts(recipe: dict, code: str = "c", **inputs: str) -> KeyInputs:
    return KeyInputs(kind="stage", recipe=recipe, code=code, inputs=inputs, tools={})


def told(old: dict, new: dict) -> list[str]:
    return list(differences(facts(old), facts(new)))


def test_values_are_told_old_and_new():
    assert told({"lr": 1e-3, "lora": {"rank": 4}}, {"lr": 2e-3, "lora": {"rank": 8}, "seed": 1}) == [
        "recipe.lr: 0.001 -> 0.002",
        "recipe.lora.rank: 4 -> 8",
        "recipe.seed: (none) -> 1",
    ]


def test_a_filter_in_front_is_one_line_and_a_changed_one_is_named():
    one, two = {"type": "language", "languages": ["en"]}, {"type": "min-messages", "messages": 2}
    assert told({"filters": [two]}, {"filters": [one, two]}) == [f"recipe.filters[language]: (none) -> {one}"]
    assert told({"filters": [one, two]}, {"filters": [one, two | {"messages": 3}]}) == [
        "recipe.filters[min-messages].messages: 2 -> 3"
    ]
    assert told({"filters": [one, two]}, {"filters": (one, two | {"messages": 3})}) == [
        "recipe.filters[min-messages].messages: 2 -> 3"
    ]
    assert told({"filters": [one, two]}, {"filters": [two, one]}) == ["recipe.filters: another order"]
    assert told({"filters": [two, two]}, {"filters": [two]}) == [f"recipe.filters[1]: {two} -> (none)"]


def test_names_in_a_list_are_matched_by_name():
    """Another part of a mix in front, another arm: one line, not one for each that moved."""
    part = {"name": "b", "weight": 1.0, "cap": None}
    assert told({"from": ["a", part]}, {"from": ["x", "a", part | {"weight": 3.0}]}) == [
        "recipe.from[b].weight: 1.0 -> 3.0",
        "recipe.from[x]: (none) -> x",
    ]
    assert told({"arms": ["a", "b"]}, {"arms": ["b", "a"]}) == ["recipe.arms: another order"]
    assert told({"arms": ["a", "b"]}, {"arms": ["a", "c"]}) == [
        "recipe.arms[b]: b -> (none)",
        "recipe.arms[c]: (none) -> c",
    ]
    assert told({"sizes": [1, 2]}, {"sizes": [1, 3]}) == ["recipe.sizes[1]: 2 -> 3"]


def test_every_line_is_one_line_that_any_terminal_can_show():
    lines = told({"path": "a\nb", "x": ""}, {"path": "\x1b[31m\udcff", "x": "ほ"})
    assert lines == [r"recipe.path: a\nb -> \x1b[31m\udcff", "recipe.x: '' -> ほ"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from((0.5, 1.0, "", "a", "b", "a\nb")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("type", "name", "x")), inner, max_size=3)
    ),
    max_leaves=6,
)


@examples(300)
@given(values, values)
def test_something_is_told_exactly_if_the_key_is_another(old, new):
    """Stale without a word, or a word without being stale, would be a lie."""
    before, after = facts({"v": old}), facts({"v": new})
    assert bool(list(differences(before, after))) == (before.key != after.key)


def test_another_kind_is_told():
    old, new = facts({}), KeyInputs(kind="mix", recipe={}, code="c", inputs={}, tools={})
    assert list(differences(old, new)) == ["kind: stage -> mix"]


def test_inputs_and_code_are_told_by_the_start_of_their_digest():
    lines = list(differences(facts({}, "old", data="a" * 64), facts({}, "new", data="b" * 64)))
    assert lines == ["inputs.data: aaaaaaaaaaaa -> bbbbbbbbbbbb", "code: old -> new"]


def test_nothing_changed_is_nothing_told():
    assert told({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) == []
