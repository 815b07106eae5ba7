"""Steps of data: datasets, stages and mixes."""

from __future__ import annotations

from pathlib import Path

from punie_build import data_steps, layout, spreading, workers
from punie_build.build import Made, Work
from punie_build.data_steps import Stats
from punie_build.filters import Context, MaxTokens, MinTokens
from punie_build.steps.base import Suites, base


def dataset(work: Work) -> Made:
    return _counts(data_steps.dataset(work.task.name, work.task.spec, work.root, work.out, work.logs, _held(work)))


def stage(suites: Suites, work: Work) -> Made:
    named = {name: suites[name].prompts() for name in work.task.config.get("cases", {})}
    source = work.root / work.task.inputs[0]
    bases_ = {f.base: base(work) for f in work.task.spec.filters if isinstance(f, MinTokens | MaxTokens)}
    context = Context(named, bases_, work.root / layout.STATE / "memo.db")
    cores = 1 if workers.within() else spreading.cores()
    stats = data_steps.stage(work.task.name, work.task.spec, source, work.out, context, cores)
    lost = ", ".join(f"{count} by {reason}" for reason, count in stats.total.dropped.items())
    kept = f"{stats.total.kept} of {stats.total.seen} examples kept ({stats.total.retention:.0%})"
    changed = f"; {stats.changed} rewritten" if stats.changed else ""
    return Made(kept + (f"; dropped {lost}" if lost else "") + changed, stats.metrics())


def mix(work: Work) -> Made:
    sources = [work.root / place for place in work.task.inputs if place != work.task.remembers]
    return _counts(data_steps.mix(work.task.name, work.task.spec, sources, work.out, _held(work)))


def _held(work: Work) -> Path | None:
    return work.root / work.task.remembers if work.task.remembers else None


def _counts(stats: Stats) -> Made:
    sides = ", ".join(f"{counts.kept} {split}" for split, counts in stats.splits.items() if counts.kept)
    twins, between = (stats.total.dropped.get(reason, 0) for reason in ("twin", "between"))
    said = f"{stats.total.kept} examples: {sides}" + (f"; {twins} twins dropped" if twins else "")
    if between:
        said += f"; {between} left out: near to what trains and to what is held back (dropped.jsonl)"
    return Made(said, stats.metrics())
