"""Specs: the frozen Structs that a recipe can hold, and their validation.

`spec` has the base classes `Spec` and `TaggedSpec`, the canonical text of a value, its digest and its TOML.
`shorthand` expands tags that stand alone. `validation` finds every mistake in a table, with its location and advice.
"""

__all__ = ("shorthand", "spec", "validation")
