"""Grids of settings, their rankings, and searches.

Public modules: `spec` (`Grid`, `Selection`), `search_spec` (`Search`), `grid` (lists of values -> cells), `axes`
(tables with lists of values), `adapter_ranking` and `eval_ranking` (`ranking.json`), `steps` (build steps), `verify`.
"""
