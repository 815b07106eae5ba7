"""The commands of `punie-build`, each with its module and its help.

A command is a function `(root, options) -> exit code`. The first line of its docstring is its help.

To add a command, write the function and its options in the module of its family, and add a row to the `COMMANDS` of
that module. The first word of a command is a key of `MODULES`; its module is imported only when the command runs.
"""

from __future__ import annotations

MODULES = {  # first word of a command -> its module, and its help
    "init": ("init", "write a first recipe and the files around it"),
    "import": ("import_config", "write a recipe from the configuration of mlx-lm, axolotl or unsloth"),
    "build": ("doit_commands", "build what is out of date, as `doit` does"),
    "watch": ("watch", "build on every change, and serve the pages with the progress of the build"),
    "list": ("doit_commands", "print the artifacts with their states"),
    "clean": ("doit_commands", "remove the files of artifacts"),
    "forget": ("doit_commands", "mark artifacts to be built again"),
    "accept": ("upkeep", "declare the files of a target to be its result, without a build"),
    "prune": ("upkeep", "remove targets, locks and pages that no recipe names"),
    "check": ("build", "compare recipes with locks, for CI: needs neither data nor mlx"),
    "plan": ("build", "show what `doit` would run, for how long, and what would go wrong"),
    "why": ("build", "show what changed, value by value, and what would be built for a target"),
    "provenance": ("build", "print how a target was built, as an in-toto statement with SLSA provenance"),
    "store": ("store", "clean, verify, push or sign the store: gc, verify, push, allow, keygen"),
    "history": ("history", "print the metrics of an artifact by commit, from the locks in git's history"),
    "diff": ("history", "print parameters and metrics of all artifacts between two revisions"),
    "report": ("view", "render the pages in reports/ again"),
    "show": ("view", "print an artifact in a dozen lines"),
    "experiments": ("view", "print parameters and metrics of all adapters and evals"),
    "doctor": ("doctor", "print versions, device, memory, disk, extras, git and the state of the project"),
    "publish": ("view", "write a Hub folder of an adapter or a model, and upload it"),
    "verify": ("view", "verify a published folder: signature, lock, and the files against the recipe"),
    "export": ("export", "write an adapter or a model for PEFT, llama.cpp, Ollama or LM Studio"),
    "serve": ("evaluate", "serve a base, an adapter or a model to any OpenAI client"),
    "chat": ("chat", "talk with a base, an adapter or a model in the terminal, or over a pipe"),
    "eval": ("evaluate", "run a suite on a model and score it, without a recipe"),
    "dataset": (
        "dataset",
        "process any folder without a recipe: download, validate, stats, filter, merge, audit, head",
    ),
    "compare": ("comparison", "compare two result files of Inspect, lm-eval, promptfoo, BFCL or CSV: verdict and page"),
    "suite": ("suite", "validate suites, and import those of other tools"),
    "train": ("train", "train an adapter on a folder of conversations, without a recipe"),
    "benchmark": ("train", "measure how fast a base trains here, and in how much memory"),
    "metrics": ("train", "print a log of mlx-lm's trainer as events"),
    "search": ("train", "run trials of a search of the recipes"),
    "worker": ("worker", "run the tasks of builds on this machine, for a Dask scheduler"),
    "pin": ("pin", "write the commit of a Hub base into its recipe"),
    "completion": ("completion", "print the completion script of a shell: bash, zsh or fish"),
    "schema": ("schema", "print the JSON Schema of recipe files"),
    "docs": ("docs", "print a page of the documentation, or one section of it"),
}
