"""Filters: one class, one reason to drop an example. A filter never changes what it keeps; `maps` rewrite.

To add one: a class with `keep` in `rows` (what a conversation is made of) or `texts` (what it says), or one with `drops` in `wholes`
(what only all examples together can tell); its name in `AnyFilter` below; a row in the table of `tests/unit/data/test_filters.py`.
The tag is the reason written beside each dropped example.
"""

from __future__ import annotations

from punie_build.data.filters.content import (
    Language,
    NoScript,
    PythonVersion,
    Regex,
    Repetition,
    Secrets,
)
from punie_build.data.filters.dataset_level import Balance, Decontaminate, ExactDedup, NearDedup, Sample
from punie_build.data.filters.filter import Context, Filter, Predicate, Scored, Whole
from punie_build.data.filters.structure import (
    ContentQuality,
    EndsWithAssistant,
    MaxMessages,
    MaxTokens,
    MinMessages,
    MinTokens,
    ValidTools,
)

AnyFilter = (
    Language
    | PythonVersion
    | NoScript
    | MinMessages
    | MaxMessages
    | MinTokens
    | MaxTokens
    | ContentQuality
    | EndsWithAssistant
    | ValidTools
    | Repetition
    | Regex
    | Secrets
    | ExactDedup
    | NearDedup
    | Decontaminate
    | Balance
    | Sample
)

__all__ = [
    "AnyFilter",
    "Balance",
    "ContentQuality",
    "Context",
    "Decontaminate",
    "EndsWithAssistant",
    "ExactDedup",
    "Filter",
    "Language",
    "MaxMessages",
    "MaxTokens",
    "MinMessages",
    "MinTokens",
    "NearDedup",
    "NoScript",
    "Predicate",
    "PythonVersion",
    "Regex",
    "Repetition",
    "Sample",
    "Scored",
    "Secrets",
    "ValidTools",
    "Whole",
]
