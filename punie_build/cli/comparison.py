"""The command `compare`: the paired difference of two result files of any evaluation tool, without a project.

punie-build compare a.eval b.eval --page page.html
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import msgspec

from punie_build.cli.options import Command, Options
from punie_build.errors import UseError, join_first
from punie_build.evaluation.result_files import outcome_difference, registry
from punie_build.evaluation.result_files.outcome_difference import OutcomeDifference
from punie_build.reports.html import visible
from punie_build.runtime.console import format_count

FAILED = ("regressed", "invalid")
SENTENCES = {
    "improved": "{second} is better than {first}",
    "regressed": "{second} is worse than {first}",
    "equivalent": "{second} equals {first} within {margin}",
    "inconclusive": "no difference between {second} and {first} is proven",
    "invalid": "too many cases are not scored: no verdict on {second} and {first}",
}


def compare(_root: Path, options: Options) -> int:
    """Compare two result files of Inspect, lm-eval, promptfoo, BFCL, CSV or JSONL, case by case."""
    if not 0 < options.margin < 1:
        raise UseError(f"--margin {options.margin:g}: not between 0 and 1 - write 0.05 for 5 points")
    first, second = (registry.read(name, options.metric) for name in (options.first, options.second))
    if options.metric is None and first.metric != second.metric and first.metric in second.metrics:
        second = registry.read(options.second, first.metric)
    result = outcome_difference.difference(first, second, options.margin, options.lower_is_better)
    if options.page:
        from punie_build.reports.pages import result_files

        Path(options.page).write_text(result_files.render(result), encoding="utf-8")
    print(msgspec.json.format(msgspec.json.encode(result), indent=1).decode() if options.json else text(result))
    return 1 if options.gate and result.verdict in FAILED else 0


def text(result: OutcomeDifference) -> str:
    """Return the result as lines of text."""
    return "\n".join(visible(line) for line in _lines(result))


def verdict_sentence(result: OutcomeDifference) -> str:
    """Return the verdict as a sentence."""
    sentence = SENTENCES[result.verdict]
    return sentence.format(first=result.first.name, second=result.second.name, margin=result.amount(result.margin))


def _lines(result: OutcomeDifference) -> Iterator[str]:
    yield f"{result.verdict}: {verdict_sentence(result)}"
    for arm, mean in zip((result.first, result.second), result.means, strict=True):
        own = "" if abs(arm.mean - mean) < 1e-12 else f"; {arm.mean:.6g} on all its cases"
        value = f"{result.metric} {mean:.6g} on {format_count(result.n, 'paired case')}{own}"
        yield f"    {arm.name:<24} {value}  {arm.file}"
    yield f"    difference               {result.amount(result.difference, '+')}, 95 % interval {result.interval}"
    yield f"    p                        {result.p:.4g}"
    yield f"    flips                    {len(result.gained)} better, {len(result.lost)} worse"
    for name, flips in (("better", result.gained), ("worse", result.lost)):
        if flips:
            yield f"        {name}: {join_first([flip.case for flip in flips], 5)}"
    yield (
        f"    detectable               {result.amount(result.detectable)}: a smaller difference is found in fewer than "
        "80 % of such comparisons"
    )
    for name, (count, before, after) in result.categories.items():
        yield f"    {name:<24} {before:.4g} to {after:.4g} on {format_count(count, 'case')}"
    yield from (f"note: {note}" for note in result.notes)


def _options(command: argparse.ArgumentParser) -> None:
    for name, text_ in (("first", "the baseline"), ("second", "what is compared with it")):
        command.add_argument(name, metavar=name.upper(), help=f"{text_}: a result file, or FILE::ARM for one arm of it")
    command.add_argument("--metric", metavar="NAME", help="default: the first metric that both files have")
    command.add_argument("--lower-is-better", action="store_true", help="smaller values of the metric are better")
    command.add_argument(
        "--margin", type=float, default=0.05, metavar="X", help="differences up to this share count as equal (0.05)"
    )
    command.add_argument("--page", metavar="FILE", help="write a page in HTML")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--gate", action="store_true", help="exit with 1 if the second file is worse, or invalid")


COMMANDS: dict[str, Command] = {"compare": (compare, _options)}
