"""Importer of tasks of lm-evaluation-harness in YAML: `generate_until` and `multiple_choice` on local files.

Templates may insert values only; `!function`, `include`, `process_docs` and filters run code or change answers, and are
refused by name. Documents of the Hub are downloaded by people, who name the file in `dataset_kwargs.data_files`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from punie_build.errors import DataError
from punie_build.evaluation.checks.union import AnyCheck, Equals
from punie_build.evaluation.continuations import ChoiceQuestion
from punie_build.evaluation.importers import templates
from punie_build.evaluation.importers.choice_question import NOTE, choice_check, choice_prompt
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, build_suite, read_objects
from punie_build.evaluation.suite import Case

IGNORED = {  # keys that change neither a prompt nor what is right
    "task", "task_alias", "tag", "group", "metadata", "dataset_path", "dataset_name", "dataset_kwargs", "output_type",
    "test_split", "validation_split", "training_split", "fewshot_split", "doc_to_text", "doc_to_target",
    "doc_to_choice", "description", "metric_list", "should_decontaminate", "doc_to_decontamination_query",
    "target_delimiter", "fewshot_delimiter", "generation_kwargs", "num_fewshot", "repeats",
}  # fmt: skip
EXACT, CHOICES = "exact_match", {"acc", "acc_norm", "acc_bytes"}
SPLITS = ("test_split", "validation_split", "training_split")


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import a task. Raise DataError for a task that cannot be asked as it is meant."""
    name, task, kind = source.path.name, *_known_task(source.path)
    notes, cases = list[str](), list[Case]()
    metric = _metric(task, kind, notes, name)
    for number, doc in enumerate(_documents(source.path, task), 1):
        try:
            cases.append(_case(f"{task.get('task') or source.path.stem}-{number}", task, kind, metric, doc))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            notes.append(f"document {number} is left out: {error}")
    if kind == "multiple_choice":
        notes.append(NOTE)
    return build_suite(source.path, cases, notes, system=str(task.get("description") or "").strip())


def choice_questions(path: Path) -> tuple[list[ChoiceQuestion], list[str]]:
    """Return the questions of a multiple_choice task as lm-eval asks them, and the documents that cannot be asked.
    Raise DataError for other tasks."""
    task, kind = _known_task(path)
    if kind != "multiple_choice":
        raise DataError(f"{path.name}: output_type {kind} has no choices - use a multiple_choice task")
    questions, problems = list[ChoiceQuestion](), list[str]()
    for number, doc in enumerate(_documents(path, task), 1):
        try:
            questions.append(_question(f"{number - 1}", task, doc))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            problems.append(f"document {number}: {error}")
    return questions, problems


def _question(name: str, task: dict[str, Any], doc: dict[str, Any]) -> ChoiceQuestion:
    question, target = _value(task["doc_to_text"], doc), _value(task["doc_to_target"], doc)
    if not isinstance(question, str):
        raise ValueError("doc_to_text is no text: tasks with several contexts are not read")
    choices = _choices(task.get("doc_to_choice"), doc)
    return ChoiceQuestion(
        id=name,
        context=str(task.get("description") or "") + question,
        choices=tuple(choices),
        answers=tuple(_index(item, choices) for item in (target if isinstance(target, list) else [target])),
        delimiter=str(task.get("target_delimiter", " ")),
    )


def _index(target: Any, choices: list[str]) -> int:
    """Return the index of the right choice: a number, also as text, or the text of a choice."""
    if isinstance(target, int):
        return int(target)
    text = str(target)
    return int(text) if text.strip().isdigit() else choices.index(text)


def _known_task(path: Path) -> tuple[dict[str, Any], str]:
    """Return a task of which all keys are understood, and its output type. Raise DataError for others."""
    task, name = _task(path), path.name
    if unknown := sorted(task.keys() - IGNORED):
        raise DataError(f"{name}: `{unknown[0]}` is not imported - write the task without it")
    if task.get("num_fewshot") or int(task.get("repeats") or 1) != 1:
        raise DataError(f"{name}: `num_fewshot` and `repeats` are not imported - set them to 0 and 1")
    kind = task.get("output_type", "generate_until")
    if kind not in ("generate_until", "multiple_choice"):
        raise DataError(f"{name}: output_type {kind} is not imported - generate_until and multiple_choice are")
    if templates.TEMPLATE.search(str(task.get("description") or "")):
        raise DataError(f"{name}: the template in `description` is not imported - write its text")
    return task, str(kind)


def _task(path: Path) -> dict[str, Any]:
    import yaml

    try:
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        text = " ".join(str(error).split())
        if "!function" in text:
            text = f"`!function` runs code, which is not imported: {text}"
        raise DataError(f"{path.name}: not a task that is read: {text[:300]}") from None
    if not isinstance(task, dict) or not all(isinstance(key, str) for key in task):
        raise DataError(f"{path.name}: not a task of lm-eval - choose another --form")
    return task


def _metric(task: dict[str, Any], kind: str, notes: list[str], name: str) -> dict[str, Any]:
    """Return the metric that is imported. Raise DataError if none is."""
    metrics = task.get("metric_list") or [{"metric": "acc" if kind == "multiple_choice" else EXACT}]
    if not isinstance(metrics, list) or not all(isinstance(metric, dict) for metric in metrics):
        raise DataError(f"{name}: metric_list is not a list of tables - write `- metric: exact_match` below it")
    known = CHOICES if kind == "multiple_choice" else {EXACT}
    notes += [
        f"the metric {metric.get('metric')} is not imported" for metric in metrics if metric.get("metric") not in known
    ]
    chosen: dict[str, Any] | None = next((metric for metric in metrics if metric.get("metric") in known), None)
    if chosen is None:
        raise DataError(f"{name}: no metric that is imported: {', '.join(str(item.get('metric')) for item in metrics)}")
    if chosen.get("regexes_to_ignore"):
        raise DataError(f"{name}: `regexes_to_ignore` is not imported - write the task without it")
    if chosen.get("ignore_case") or chosen.get("ignore_punctuation"):
        notes.append("case, spaces and punctuation of answers are ignored together")
    settings = task.get("generation_kwargs")
    notes += [f"generation_kwargs.{key} is a setting of the eval" for key in settings or () if key != "max_gen_toks"]
    return chosen


def _documents(path: Path, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the documents of the first split that the task names. Raise DataError."""
    form, options = task.get("dataset_path"), task.get("dataset_kwargs")
    files = options.get("data_files") if isinstance(options, dict) else None
    split = next((task[key] for key in SPLITS if task.get(key)), None)
    if isinstance(files, dict):
        files = files.get(split)
    files = [files] if isinstance(files, str) else files
    if form not in ("json", "csv") or not isinstance(files, list) or not files:
        raise DataError(
            f"{path.name}: the documents of {form} are not here - download them, and write `dataset_path: json` and "
            "`dataset_kwargs: {data_files: FILE}`"
        )
    documents = []
    for file in files:
        document = path.parent / str(file)
        if not document.is_file():
            raise DataError(f"{path.name}: no file {file} - correct dataset_kwargs.data_files")
        documents += _csv_rows(document) if form == "csv" else read_objects(document)
    return documents


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name}: not CSV: {error} - save it as UTF-8") from None


def _case(name: str, task: dict[str, Any], kind: str, metric: dict[str, Any], doc: dict[str, Any]) -> Case:
    question = str(_value(task["doc_to_text"], doc))
    target = _value(task["doc_to_target"], doc)
    settings = task.get("generation_kwargs") or {}
    fields: dict[str, Any] = {"id": name, "max_tokens": settings.get("max_gen_toks")}
    if kind == "multiple_choice":
        choices = [choice.strip() for choice in _choices(task.get("doc_to_choice"), doc)]
        index = _index(target.strip() if isinstance(target, str) else target, choices)
        return Case(**fields, prompt=choice_prompt(question, choices), **choice_check(index, choices))
    if isinstance(target, list):
        raise ValueError("several targets are not imported")
    loose = bool(metric.get("ignore_case") or metric.get("ignore_punctuation"))
    checks: tuple[AnyCheck, ...] = (Equals(text=str(target), loose=loose),)
    return Case(**fields, prompt=question, checks=checks)


def _value(rule: Any, doc: dict[str, Any]) -> Any:
    """Return a field of a document, or a template with its values, as lm-eval does."""
    if isinstance(rule, int):
        return rule
    if rule in doc:
        return doc[rule]
    inside = rule.strip()
    if inside.startswith("{{") and inside.endswith("}}") and inside.count("{{") == 1:
        return templates.evaluate(inside[2:-2].strip("-"), doc, inside)
    if block := templates.BLOCK.search(rule):
        raise templates.not_understood(block[0])
    return templates.render(rule, doc)


def _choices(rule: Any, doc: dict[str, Any]) -> list[str]:
    if isinstance(rule, list):
        return [templates.render(item, doc) if isinstance(item, str) else str(item) for item in rule]
    value = _value(rule, doc)
    if not isinstance(value, list):
        raise ValueError(f"doc_to_choice {str(rule)[:60]} is no list")
    return list(map(str, value))
