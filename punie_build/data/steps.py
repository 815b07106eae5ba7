"""The steps that build datasets, stages and mixes."""

from __future__ import annotations

from punie_build.data import merge, pipeline
from punie_build.data.dialects.keys import describe_unknown
from punie_build.data.filters.union import FilterContext
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.stats import Stats, write_stats
from punie_build.engine.work import StepResult, Work
from punie_build.runtime import parallel, worker_pool
from punie_build.runtime.console import message
from punie_build.storage import paths


def dataset(work: Work[Dataset]) -> StepResult:
    """Read a source into train, valid and test."""
    stats = pipeline.build_dataset(work.task.name, work.spec, work.root, work.out, work.logs, work.memory())
    return StepResult(_split_counts(stats) + _unknown_keys(stats), stats.metrics())


def stage(work: Work[Stage]) -> StepResult:
    """Filter a dataset. A stage depends on the code of suites only if its filters name suites."""
    source = work.inputs()[0]
    bases = {name: work.external("base") for name in work.spec.bases()}
    prompts = {name: suite.prompts() for name, suite in work.task.uses.items()}
    context = FilterContext(prompts, bases, work.root / paths.STATE / "memo.db", work.root)
    cores = 1 if worker_pool.in_worker() else parallel.cpu_count()
    stats = pipeline.build_stage(work.task.name, work.spec, source, work.out, context, cores)
    return StepResult(_filter_counts(stats), stats.metrics())


def mix(work: Work[Mix]) -> StepResult:
    """Merge datasets, and split the rows that have no split yet."""
    details = work.task.details
    unsplit, ordered = (details.unsplit, details.ordered) if details else ((), ())
    stats = merge.build_mix(work.task.name, work.spec, work.inputs(), work.out, work.memory(), unsplit=unsplit)
    if ordered:
        stats.notes += (_lost_order(ordered),)
        write_stats(work.out, stats)
    return StepResult(_split_counts(stats), stats.metrics())


@message
def _lost_order(parts: tuple[str, ...]) -> str:
    return f"shuffled: the order of {', '.join(parts)} is not kept - give this mix an `order`, or train on that mix"


@message
def _unknown_keys(stats: Stats) -> str:
    return f"; {text}" if (text := describe_unknown(stats.unknown_keys or {})) else ""


@message
def _filter_counts(stats: Stats) -> str:
    dropped = ", ".join(f"{count} by {reason}" for reason, count in stats.total.dropped.items())
    text = f"{stats.total.kept} of {stats.total.seen} examples kept ({stats.total.retention:.0%})"
    rewritten = f"; {stats.changed} rewritten" if stats.changed else ""
    return "; ".join((text + (f"; dropped {dropped}" if dropped else "") + rewritten, *stats.notes))


@message
def _split_counts(stats: Stats) -> str:
    splits = ", ".join(f"{counts.kept} {split}" for split, counts in stats.splits.items() if counts.kept)
    duplicates, between = (stats.total.dropped.get(reason, 0) for reason in ("twin", "between"))
    text = f"{stats.total.kept} examples: {splits}" + (f"; {duplicates} duplicates dropped" if duplicates else "")
    if between:
        text += f"; {between} dropped as near duplicates of both training and held-out rows (dropped.jsonl)"
    if withheld := stats.total.dropped.get("held-out", 0):
        text += f"; {withheld} training rows dropped because a held-out row equals them (dropped.jsonl)"
    return "; ".join((text, *stats.notes))
