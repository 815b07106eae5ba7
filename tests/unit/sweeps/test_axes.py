"""Tables of recipes: nested and with dotted fields."""

from __future__ import annotations

from punie_build.sweeps.axes import flatten, merge, unflatten


def test_dotted_fields_are_nested_tables():
    values = {"lora.rank": 8, "lora.scale": 1.0, "iters": 3}
    table = {"lora": {"rank": 8, "scale": 1.0}, "iters": 3}
    assert unflatten(values) == table
    assert dict(flatten(table)) == values


def test_tables_are_merged_but_a_table_with_a_type_is_replaced():
    table = {"lora": {"rank": 8, "scale": 1.0}, "optimizer": {"type": "adamw", "weight_decay": 0.1}}
    assert merge(table, {"lora": {"rank": 4}, "optimizer": {"type": "sgd"}}) == {
        "lora": {"rank": 4, "scale": 1.0},
        "optimizer": {"type": "sgd"},
    }
