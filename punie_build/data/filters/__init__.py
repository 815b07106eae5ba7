"""Filters of stages.

`union` has all filters as recipes name them, `AnyFilter`, and the base classes, which are in `filter`. The filters
are in `structure` (counts, tools), `content` (languages, secrets, patterns) and `dataset_level` (duplicates,
balance); `python2` detects Python 2 code. `score_cache` keeps expensive scores between builds.
"""

__all__ = (
    "content",
    "score_cache",
    "secret",
    "union",
)
