"""A tag alone stands for its Struct, in fields and in lists."""

from __future__ import annotations

from punie_build.data.spec import Stage
from punie_build.schema import shorthand
from punie_build.training.spec import Adapter


def test_tags_in_fields_and_lists_are_expanded():
    assert shorthand.expand({"optimizer": "adamw", "base": "nano"}, Adapter) == {
        "optimizer": {"type": "adamw"},
        "base": "nano",
    }
    filters = ["exact-dedup", {"type": "min-messages", "messages": 2}]
    assert shorthand.expand({"from": "a", "filters": filters}, Stage) == {
        "from": "a",
        "filters": [{"type": "exact-dedup"}, filters[1]],
    }


def test_a_grid_may_list_tags():
    assert shorthand.expand({"optimizer": ["adam", "sgd"]}, Adapter) == {
        "optimizer": [{"type": "adam"}, {"type": "sgd"}]
    }
