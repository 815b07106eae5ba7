"""The formats of suites that can be imported. Parts that a suite cannot express are reported in notes.

    older        EvalPrompt: id, category, prompt_text, expected_tool_calls, expected_keywords; JSON, JSONL, or Python
    source bfcl         the JSONL of the Berkeley leaderboard: questions and functions, and a second file with possible
    answers promptfoo    YAML with prompts, tests and assertions

To add a format, write a module with a function from an `ImportSource` to an `ImportedSuite`, and add it to `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable

from punie_build.evaluation.importers import bfcl, eval_prompts, promptfoo
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource
from punie_build.evaluation.importers.toml_writer import suite_to_toml

__all__ = ["FORMATS", "ImportSource", "ImportedSuite", "detect_format", "suite_to_toml"]

FORMATS: dict[str, Callable[[ImportSource], ImportedSuite]] = {
    "older": eval_prompts.import_suite,
    "bfcl": bfcl.import_suite,
    "promptfoo": promptfoo.import_suite,
}


def detect_format(source: ImportSource) -> str:
    """Return the most likely format of a file, by its suffix and its first 20,000 bytes."""
    if source.path.suffix in (".yaml", ".yml"):
        return "promptfoo"
    head = source.path.read_bytes()[:20000]
    return "bfcl" if b'"question"' in head and b'"function"' in head else "older"
