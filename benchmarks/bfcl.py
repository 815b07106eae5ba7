"""The checker of the Berkeley Function-Calling Leaderboard beside ours, on the reference answers of its own data and on
systematic changes of them.

    pip install --no-deps bfcl-eval                       # into any environment: its package needs none of its needs
    ./run python benchmarks/bfcl.py SITE-PACKAGES         # the folder that has `bfcl_eval`; --changes 20; --category c

The official function `ast_checker` runs as it is; only its table of models is replaced, which needs all providers. It
takes values of Java and JavaScript as source text, ours as JSON: each probe is written as the source text that the
official converter reads as that value, and probes that no source text can say are left out.
"""

from __future__ import annotations

import argparse
import collections
import copy
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from punie_build.data.example import ToolCall
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.importers.registry import FORMATS, ImportSource

CATEGORIES = (
    "simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "live_multiple", "live_parallel",
    "live_parallel_multiple", "simple_java", "simple_javascript",
)  # fmt: skip
Call = tuple[str, dict[str, Any]]


def official_checker(site: Path) -> Any:
    """Return `ast_checker` of the package in a folder of packages."""
    sys.path.insert(0, str(site))
    table = types.ModuleType("bfcl_eval.constants.model_config")
    settings = types.SimpleNamespace(underscore_to_dot=False)
    vars(table)["MODEL_CONFIG_MAPPING"] = collections.defaultdict(lambda: settings)
    sys.modules[table.__name__] = table
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    return ast_checker


def rows(path: Path) -> dict[str, dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return {row["id"]: row for row in map(json.loads, file)}


def reference(truth: list[dict[str, Any]], random: Random) -> list[Call]:
    """Return calls that the possible answers accept."""

    def value(item: Any) -> Any:
        if isinstance(item, dict):
            lists = {key: options if isinstance(options, list) else [options] for key, options in item.items()}
            chosen = {key: [each for each in options if each != ""] for key, options in lists.items()}
            return {key: value(random.choice(options)) for key, options in chosen.items() if options}
        return [value(each) for each in item] if isinstance(item, list) else item

    calls = []
    for call in truth:
        for name, parameters in call.items():
            given = {key: [each for each in options if each != ""] for key, options in parameters.items()}
            kept = {
                key: options
                for key, options in given.items()
                if options and ("" not in parameters[key] or random.random() < 0.5)
            }
            calls.append((name, {key: value(random.choice(options)) for key, options in kept.items()}))
    return calls


def changed(value: Any, random: Random) -> Any:
    """Return a value as models change it: another type, case, spelling, order or length."""
    if isinstance(value, bool):
        return random.choice([not value, str(value)])
    if isinstance(value, int):
        return random.choice([float(value), value + 1, str(value)])
    if isinstance(value, float):
        return random.choice([int(value), value + 1, str(value)])
    if isinstance(value, str):
        return random.choice([value.upper(), f"{value} ", f"{value}.", value.replace(" ", "_"), f"{value}x", ""])
    if isinstance(value, list) and value:
        index = random.randrange(len(value))
        return random.choice(
            [
                [changed(item, random) if place == index else item for place, item in enumerate(value)],
                value[::-1],
                value[:-1],
                [*value, value[0]],
            ]
        )
    if isinstance(value, dict) and value:
        key = random.choice(list(value))
        rest = {name: item for name, item in value.items() if name != key}
        return random.choice([{**value, key: changed(value[key], random)}, rest, {**value, "other": 1}])
    return value


def source_text(value: Any, schema: dict[str, Any], convert: Any) -> str | None:
    """Return the text of Java or JavaScript that the official converter reads as a value; None if there is none."""
    kind, items = schema["type"], (schema.get("items") or {}).get("type")
    for text in source_texts(value):
        try:
            read = convert(text, kind, items) if items else convert(text, kind)
        except (ValueError, TypeError, NotImplementedError):
            continue
        if json.dumps(read, sort_keys=True) == json.dumps(value, sort_keys=True):
            return text
    return None


def source_texts(value: Any) -> list[str]:
    """Return the texts that may be a value in Java or JavaScript."""
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, int | float):
        return [f"{value}{suffix}" for suffix in ("", "L", "f", "n")]
    if isinstance(value, str):
        return [value, f'"{value}"']
    if isinstance(value, list):
        texts = []
        for index in range(4):
            parts = [source_texts(item) for item in value]
            inner = ", ".join(options[min(index, len(options) - 1)] for options in parts)
            texts += [f"new ArrayList<>(Arrays.asList({inner}))", f"new Object[]{{{inner}}}", f"[{inner}]"]
        return [*texts, "new ArrayList<>()"]
    if isinstance(value, dict):
        texts = []
        for index in (1, 0):
            parts = {key: source_texts(item) for key, item in value.items()}
            pairs = {key: options[min(index, len(options) - 1)] for key, options in parts.items()}
            puts = " ".join(f'put("{key}", {text});' for key, text in pairs.items())
            inner = ", ".join(f"{key}: {text}" for key, text in pairs.items())
            texts += [f"new HashMap<>() {{{{ {puts} }}}}", f"{{{inner}}}"]
        return [*texts, "new HashMap<>()"]
    return []


def in_language(calls: list[Call], functions: list[dict[str, Any]], convert: Any) -> list[Call] | None:
    """Return calls with source text as arguments; None if a value has none."""
    declared = {function["name"]: function["parameters"]["properties"] for function in functions}
    translated = []
    for name, arguments in calls:
        schemas = declared.get(name, {})
        texts = {
            key: source_text(value, schemas.get(key, {"type": "any"}), convert) for key, value in arguments.items()
        }
        if None in texts.values():
            return None
        translated.append((name, texts))
    return translated


def variants(truth: list[dict[str, Any]], count: int, random: Random) -> Iterator[tuple[str, list[Call]]]:
    """Yield (kind, calls): references first, then changes of one call."""
    for _ in range(3):
        yield "reference", reference(truth, random)
    for _ in range(count):
        calls = reference(truth, random)
        name, arguments = calls[index := random.randrange(len(calls))]
        kind = random.choice(["value", "value", "value", "left out", "added", "name", "order", "count"])
        if kind == "value" and arguments:
            key = random.choice(list(arguments))
            calls[index] = name, {**arguments, key: changed(arguments[key], random)}
        elif kind == "left out" and arguments:
            key = random.choice(list(arguments))
            calls[index] = name, {other: value for other, value in arguments.items() if other != key}
        elif kind == "added":
            calls[index] = name, {**arguments, "other": 1}
        elif kind == "name":
            calls[index] = f"{name}x", arguments
        elif kind == "order":
            random.shuffle(calls)
        elif kind == "count":
            calls = calls[:-1] if random.random() < 0.5 else [*calls, calls[0]]
        yield kind, calls


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("site", type=Path, help="the folder that has the package bfcl_eval")
    parser.add_argument("--changes", type=int, default=20, help="of each case")
    parser.add_argument("--category", choices=CATEGORIES, action="append")
    options = parser.parse_args()
    checker = official_checker(options.site)
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.type_convertor.java_type_converter import java_type_converter
    from bfcl_eval.eval_checker.ast_eval.type_convertor.js_type_converter import js_type_converter

    languages = {
        "simple_java": (Language.JAVA, java_type_converter),
        "simple_javascript": (Language.JAVASCRIPT, js_type_converter),
    }
    data = options.site / "bfcl_eval" / "data"
    total, disagreements = collections.Counter[str](), collections.Counter[tuple[str, str]]()
    examples: dict[tuple[str, str], str] = {}
    print(f"{'category':<26}{'cases':>7}{'probes':>9}{'agree':>9}   references that BFCL takes / ours takes")
    for category in options.category or CATEGORIES:
        path, answers = (folder / f"BFCL_v4_{category}.json" for folder in (data, data / "possible_answer"))
        imported = FORMATS["bfcl"](ImportSource(path=path, answers=answers))
        cases, random = {case.id: case for case in imported.suite.cases}, Random(category)
        questions, truths = rows(path), rows(answers)
        count = collections.Counter[str]()
        for name, question in questions.items():
            for kind, calls in variants(truths[name]["ground_truth"], options.changes, random):
                language, convert = languages.get(category, (Language.PYTHON, None))
                said = in_language(calls, question["function"], convert) if convert else calls
                if said is None:
                    count["unsaid"] += 1
                    continue
                output = [{function: arguments} for function, arguments in said]
                result = checker(
                    copy.deepcopy(question["function"]), copy.deepcopy(output), truths[name]["ground_truth"],
                    language, category, "model",
                )  # fmt: skip
                answer = Answer(case=name, raw="x", calls=tuple(ToolCall(*call) for call in calls), finish="tool_calls")
                ours = name in cases and score_answer(cases[name].checks, answer).passed
                count["probes"] += 1
                count["agree"] += result["valid"] == ours
                count["theirs"] += kind == "reference" and result["valid"]
                count["ours"] += kind == "reference" and ours
                count["references"] += kind == "reference"
                if result["valid"] != ours:
                    reason = (kind, "BFCL takes it" if result["valid"] else str(result.get("error_type")))
                    disagreements[reason] += 1
                    examples.setdefault(reason, f"{name}: {json.dumps(output)[:150]}")
        total += count
        print(
            f"{category:<26}{len(questions):>7}{count['probes']:>9,}{count['agree'] / count['probes']:>9.2%}   "
            f"{count['theirs']:,} / {count['ours']:,} of {count['references']:,}"
            + (f"; {count['unsaid']} values without source text" if count["unsaid"] else ""),
            flush=True,
        )
    print(f"{'all':<33}{total['probes']:>9,}{total['agree'] / total['probes']:>9.3%}")
    for reason, number in disagreements.most_common():
        print(f"{number:>7}  {', '.join(reason):<60} {examples[reason]}")


if __name__ == "__main__":
    main()
