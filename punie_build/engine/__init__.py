"""The build engine: recipes, tasks, keys, plans, builds and checks. It knows no machine learning.

Declarations: `kind` (what a kind of artifact is), `recipe`, `task`, `work` (what a step receives and returns),
`gates`. Decisions: `fingerprint` (of code; `meaning` is its part), `state`, `explain`, `plan`, `check`. Actions:
`build`, `build_record` (when and where, for people), `acceptance` (of files as they are), `leftovers` (of recipes
that are no more), `memory` (what the next build must not decide anew), `renamed` (what was built under other names),
`events` (a log for programs), `provenance`, `card_notes` (text of people in model cards). Its tests build text files.
"""

__all__ = (
    "acceptance",
    "build",
    "build_record",
    "card_notes",
    "check",
    "events",
    "explain",
    "fingerprint",
    "gates",
    "kind",
    "leftovers",
    "plan",
    "provenance",
    "recipe",
    "state",
    "task",
    "work",
)
