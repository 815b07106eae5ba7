"""Grids of settings, their rankings, and searches.

`spec` has `Grid` and `Selection`, `search_spec` has `Search`; `grid` and `axes` turn tables with lists of values into
cells; `adapter_ranking` and `eval_ranking` write ranking.json; `steps` and `verify` are those of the kinds.
"""

__all__ = ("adapter_ranking", "axes", "eval_ranking", "grid", "search_spec", "spec", "steps", "verify")
