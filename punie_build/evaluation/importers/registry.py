"""The formats of suites that can be imported. Parts that a suite cannot express are reported in notes.

    older        EvalPrompt: id, category, prompt_text, expected_tool_calls, expected_keywords; JSON, JSONL, or Python
    bfcl         the JSONL of the Berkeley leaderboard: questions, functions, and a second file of possible answers;
                 multi-turn questions need the package bfcl-eval
    promptfoo    YAML with prompts, tests and assertions
    inspect      samples of a dataset, or of a log
    openai       JSONL with `input` and `ideal`
    lm-eval      YAML of a task on local files
    humaneval    JSONL of HumanEval: a prompt, tests and the name of the function
    mbpp         JSONL or JSON of MBPP: a task and its tests

To add a format, write a module with a function from an `ImportSource` to an `ImportedSuite`, and add it to `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable

from punie_build.errors import DataError
from punie_build.evaluation.importers import (
    bfcl,
    code_tasks,
    eval_prompts,
    inspect_samples,
    lm_eval_task,
    openai_evals,
    promptfoo,
)
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, unzipped
from punie_build.evaluation.importers.lm_eval_task import choice_questions
from punie_build.evaluation.importers.toml_writer import suite_to_toml

__all__ = ["FORMATS", "ImportSource", "ImportedSuite", "choice_questions", "detect_format", "suite_to_toml"]

Importer = Callable[[ImportSource], ImportedSuite]


def _guarded(form: str, importer: Importer) -> Importer:
    """Return an importer that raises DataError for a file of another shape, in which any part may have any type."""

    def import_suite(source: ImportSource) -> ImportedSuite:
        try:
            return importer(source)
        except (TypeError, AttributeError, LookupError, ArithmeticError, ValueError, RecursionError) as error:
            raise DataError(
                f"{source.path.name}: not in the form of {form}: {type(error).__name__} {str(error)[:200]} - "
                "correct it, or choose another --form"
            ) from None

    return import_suite


FORMATS: dict[str, Importer] = {
    form: _guarded(form, importer)
    for form, importer in (
        ("older", eval_prompts.import_suite),
        ("bfcl", bfcl.import_suite),
        ("promptfoo", promptfoo.import_suite),
        ("inspect", inspect_samples.import_suite),
        ("openai", openai_evals.import_suite),
        ("lm-eval", lm_eval_task.import_suite),
        ("humaneval", code_tasks.import_suite),
        ("mbpp", code_tasks.import_suite),
    )
}


def detect_format(source: ImportSource) -> str:
    """Return the most likely format of a file, by its suffix and its first 20,000 bytes."""
    with source.path.open("rb") as file:
        head = unzipped(file.read(20000), 20000)
    if source.path.suffix in (".yaml", ".yml"):
        return "lm-eval" if b"doc_to_text" in head or b"dataset_path:" in head else "promptfoo"
    if source.path.suffix in (".eval", ".csv") or (b'"input"' in head and b'"target"' in head):
        return "inspect"
    if b'"input"' in head and b'"ideal"' in head:
        return "openai"
    if b'"entry_point"' in head or b'"test_list"' in head:
        return "humaneval" if b'"entry_point"' in head else "mbpp"
    is_bfcl = b'"question"' in head and (b'"function"' in head or b'"involved_classes"' in head)
    return "bfcl" if is_bfcl else "older"
