"""JSON values with some of their parts replaced, which a reader must read or refuse, and never crash on."""

from __future__ import annotations

from hypothesis import strategies as st


def spoiled(value: object, draw: st.DrawFn) -> object:
    """Return a JSON value with some of its parts replaced by values of other types."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([None, 1, "", "x", [], {}, [1], {"a": 1}, True]))
    if isinstance(value, dict):
        return {key: spoiled(item, draw) for key, item in value.items() if draw(st.integers(0, 19))}
    return [spoiled(item, draw) for item in value] if isinstance(value, list) else value
