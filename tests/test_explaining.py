from __future__ import annotations

from punie_build.explaining import differences
from punie_build.locks import Facts


def facts(recipe: dict, code: str = "c", **inputs: str) -> Facts:
    return Facts(kind="stage", recipe=recipe, code=code, inputs=inputs, tools={})


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


def test_inputs_and_code_are_told_by_the_start_of_their_digest():
    lines = list(differences(facts({}, "old", data="a" * 64), facts({}, "new", data="b" * 64)))
    assert lines == ["inputs.data: aaaaaaaaaaaa -> bbbbbbbbbbbb", "code: old -> new"]


def test_nothing_changed_is_nothing_told():
    assert told({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) == []
