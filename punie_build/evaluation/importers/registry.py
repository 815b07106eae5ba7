"""Importers: suites that others wrote, as suites of ours. What cannot be said here is told, not guessed.

    older        the EvalPrompt form: id, category, prompt_text, expected_tool_calls, expected_keywords; JSON, JSONL, or Python as text
    bfcl         the Berkeley leaderboard's JSONL: questions and functions, and the possible answers in a file beside it
    promptfoo    YAML with prompts, tests and assertions

To add one: a function from a `Source` to `Imported` in a file of its own, and its row in `FORMS`.
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
    """The form that a file is most likely in."""
    if source.path.suffix in (".yaml", ".yml"):
        return "promptfoo"
    head = source.path.read_bytes()[:20000]
    return "bfcl" if b'"question"' in head and b'"function"' in head else "older"
