"""Commands: what `punie-build` does beside doit. A command is a function `(root, options) -> exit code`; its first line is its help.

To add one: the function and its options in the module of its family, and its row in that module's `COMMANDS`; a new module also has
its words in `MODULES`, so that what it imports is imported only for those who ask for it.
"""

from __future__ import annotations

MODULES = {  # first word of a command -> the module that has it, and what it is
    "check": ("build", "is everything still what its lock says? for CI: needs neither data nor mlx"),
    "plan": ("build", "what would `doit` do, for how long, and what would go wrong?"),
    "why": ("build", "what would be built for a target, and what changed, value by value"),
    "provenance": ("build", "how a target was made, for those who ask for in-toto and SLSA"),
    "store": ("store", "the store: gc, verify, push"),
    "report": ("view", "draw the pages in reports/ anew"),
    "show": ("view", "what is known of an artifact, in a dozen lines"),
    "publish": ("view", "make a folder of the Hub of an adapter or a model, and upload it"),
    "serve": ("evaluate", "talk to a base, an adapter or a model with any OpenAI client"),
    "eval": ("evaluate", "ask a model a suite and score it, without a recipe"),
    "dataset": ("dataset", "by hand, on any folder: download, validate, stats, filter, merge, audit, head"),
    "suite": ("suite", "suites: check that one can judge, import what others wrote"),
    "train": ("train", "an adapter from a folder of conversations, without a recipe"),
    "benchmark": ("train", "how fast a base trains here, and in how much memory"),
    "metrics": ("train", "what mlx-lm printed while it trained, as events"),
    "search": ("train", "let a search of the recipes try more settings"),
}
