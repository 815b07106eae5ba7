"""The commands of `punie-build`, beside doit. A command is a function `(root, options) -> exit code`; the first line of its docstring is
its help.

To add one: the function and its options in the module of its family, and its row in the `COMMANDS` of that module. A new module also has its
words in `MODULES`, so that it is imported only when one of its commands runs.
"""

from __future__ import annotations

MODULES = {  # first word of a command -> its module, and its help
    "check": ("build", "compare recipes with locks, for CI: needs neither data nor mlx"),
    "plan": ("build", "show what `doit` would run, for how long, and what would go wrong"),
    "why": ("build", "show what changed, value by value, and what would be built for a target"),
    "provenance": ("build", "print how a target was built, as an in-toto statement with SLSA provenance"),
    "store": ("store", "clean, verify or push the store: gc, verify, push"),
    "report": ("view", "draw the pages in reports/ again"),
    "show": ("view", "show an artifact in a dozen lines"),
    "publish": ("view", "make a Hub folder of an adapter or a model, and upload it"),
    "serve": ("evaluate", "serve a base, an adapter or a model to any OpenAI client"),
    "eval": ("evaluate", "ask a model a suite and score it, without a recipe"),
    "dataset": (
        "dataset",
        "work on any folder without a recipe: download, validate, stats, filter, merge, audit, head",
    ),
    "suite": ("suite", "check suites, and import those of other tools"),
    "train": ("train", "train an adapter on a folder of conversations, without a recipe"),
    "benchmark": ("train", "measure how fast a base trains here, and in how much memory"),
    "metrics": ("train", "read the output of mlx-lm's trainer as events"),
    "search": ("train", "let a search of the recipes try more settings"),
    "schema": ("schema", "print the JSON Schema of recipe files"),
}
