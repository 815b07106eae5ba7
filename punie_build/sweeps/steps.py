"""Steps of grids: the ranking of all cells, and copies of the best."""

from __future__ import annotations

import msgspec

from punie_build.engine.build import Made, Work
from punie_build.evaluation import scores
from punie_build.runtime.console import message
from punie_build.storage import paths, store
from punie_build.sweeps import adapter_ranking, eval_ranking
from punie_build.sweeps.adapter_ranking import AdapterRanking, Run, SelectionRecord
from punie_build.sweeps.spec import Grid, Selection
from punie_build.training import history

COPIED = ("adapters.safetensors", "adapter_config.json", "metrics.jsonl")


def grid(work: Work) -> Made:
    return {"adapter": trained, "eval": asked}[work.task.spec.of](work)


def asked(work: Work) -> Made:
    """Settings of an eval, by the cases that passed."""
    spec: Grid = work.task.spec
    cells = [
        (cell.name, cell.setting, scores.scores(work.root / place).cases)
        for cell, place in zip(spec.cells, work.task.inputs, strict=True)
    ]
    found = eval_ranking.rank_evals(work.task.name, spec.axes, cells)
    (work.out / "ranking.json").write_bytes(_text(found))
    return Made(eval_ranking.summary(found), eval_ranking.metrics(found))


def trained(work: Work) -> Made:
    """Settings of adapters, by validation loss."""
    spec: Grid = work.task.spec
    runs = []
    for cell, place in zip(spec.cells, work.task.inputs, strict=True):
        found = history.metrics(work.root / place)
        run = Run(
            cell=cell.name,
            seed=cell.seed,
            valid_loss=found["valid_loss"],
            valid_loss_start=found["valid_loss_start"],
            valid_loss_last=found["valid_loss_last"],
            accuracy=found["valid_accuracy"],
            best_at=int(found["best_at"]),
            iterations=int(found["iterations"]),
        )
        runs.append((cell.setting, run))
    ranked = adapter_ranking.rank_adapters(work.task.name, spec.axes, runs)
    (work.out / "ranking.json").write_bytes(_text(ranked))
    return Made(adapter_ranking.summary(ranked), adapter_ranking.metrics(ranked))


def choice(work: Work) -> Made:
    """Copy the adapter of the first seed: the best one would be chosen by chance, and would change with every seed added."""
    spec: Selection = work.task.spec
    ranked = msgspec.json.decode((work.root / work.task.inputs[0] / "ranking.json").read_bytes(), type=AdapterRanking)
    selected = ranked.settings[spec.rank - 1]
    run = selected.runs[0]
    for name in COPIED:
        store.copy(work.root / paths.target("adapter", run.cell) / name, work.out / name)
    record = SelectionRecord(grid=spec.grid, rank=spec.rank, cell=run.cell, setting=selected.setting, seed=run.seed)
    (work.out / "choice.json").write_bytes(_text(record))
    return Made(_chosen(run, history.summary(work.out)), history.metrics(work.out))


@message
def _chosen(run: Run, became: str) -> str:
    return f"{run.cell}: {became}"


def _text(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
