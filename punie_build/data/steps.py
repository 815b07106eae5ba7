"""Steps of data: datasets, stages and mixes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from punie_build.data import pipeline
from punie_build.data.filters.union import FilterContext
from punie_build.data.stats import Stats
from punie_build.engine.build import Made, Work
from punie_build.runtime import parallel, worker_pool
from punie_build.runtime.console import message
from punie_build.storage import paths


def dataset(work: Work) -> Made:
    stats = pipeline.build_dataset(work.task.name, work.task.spec, work.root, work.out, work.logs, _held(work))
    return Made(_counts(stats), stats.metrics())


def stage(suites: Mapping[str, Any], work: Work) -> Made:
    """Filter a dataset. `suites` has what `graph` puts among the task's `uses`: only such a stage depends on their code."""
    named = {name: suites[name].prompts() for name in work.task.config.get("cases", {})}
    source = work.root / work.task.inputs[0]
    bases_ = {name: work.base() for f in work.task.spec.filters if (name := getattr(f, "base", None))}
    context = FilterContext(named, bases_, work.root / paths.STATE / "memo.db")
    cores = 1 if worker_pool.in_worker() else parallel.cpu_count()
    stats = pipeline.build_stage(work.task.name, work.task.spec, source, work.out, context, cores)
    return Made(_kept(stats), stats.metrics())


@message
def _kept(stats: Stats) -> str:
    lost = ", ".join(f"{count} by {reason}" for reason, count in stats.total.dropped.items())
    kept = f"{stats.total.kept} of {stats.total.seen} examples kept ({stats.total.retention:.0%})"
    changed = f"; {stats.changed} rewritten" if stats.changed else ""
    return kept + (f"; dropped {lost}" if lost else "") + changed


def mix(work: Work) -> Made:
    sources = [work.root / place for place in work.task.inputs if place != work.task.remembers]
    stats = pipeline.build_mix(work.task.name, work.task.spec, sources, work.out, _held(work))
    return Made(_counts(stats), stats.metrics())


def _held(work: Work) -> Path | None:
    return work.root / work.task.remembers if work.task.remembers else None


@message
def _counts(stats: Stats) -> str:
    sides = ", ".join(f"{counts.kept} {split}" for split, counts in stats.splits.items() if counts.kept)
    twins, between = (stats.total.dropped.get(reason, 0) for reason in ("twin", "between"))
    said = f"{stats.total.kept} examples: {sides}" + (f"; {twins} twins dropped" if twins else "")
    if between:
        said += f"; {between} left out: near to what trains and to what is held back (dropped.jsonl)"
    return said
