"""Filters of stages.

Public modules: `union` (all filters, `AnyFilter` and the base classes), `python2` (detection of Python 2 code) and
`score_cache`. `filter` has the base classes, `structure`, `content` and `dataset_level` the filters.
"""
