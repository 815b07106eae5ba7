"""The union of all filters, as recipes name them. A filter drops examples for one reason and never changes a row.

To add one: a class with `keep` in `structure` or `content`, or with `drops` in `dataset_level` if it needs all
examples; its name in `AnyFilter` below; a row in the table of `tests/unit/data/test_filters.py`. The tag is the
reason that is written beside each dropped example.
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
from punie_build.data.filters.dataset_level import Balance, Decontaminate, ExactDedup, NearDedup, SampleRows
from punie_build.data.filters.filter import (
    DatasetFilter,
    Filter,
    FilterContext,
    LineFilter,
    Predicate,
    ScoredFilter,
)
from punie_build.data.filters.quality import C4Quality, GopherQuality
from punie_build.data.filters.structure import (
    ContentQuality,
    EndsWithAssistant,
    MaxMessages,
    MaxTokens,
    MinMessages,
    MinTokens,
    ValidTools,
)
from punie_build.data.filters.where import PythonFilter, Where

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
    | SampleRows
    | Where
    | GopherQuality
    | C4Quality
    | PythonFilter
)

__all__ = [
    "AnyFilter",
    "Balance",
    "C4Quality",
    "ContentQuality",
    "DatasetFilter",
    "Decontaminate",
    "EndsWithAssistant",
    "ExactDedup",
    "Filter",
    "FilterContext",
    "GopherQuality",
    "Language",
    "LineFilter",
    "MaxMessages",
    "MaxTokens",
    "MinMessages",
    "MinTokens",
    "NearDedup",
    "NoScript",
    "Predicate",
    "PythonFilter",
    "PythonVersion",
    "Regex",
    "Repetition",
    "SampleRows",
    "ScoredFilter",
    "Secrets",
    "ValidTools",
    "Where",
]
