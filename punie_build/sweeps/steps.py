"""The steps that rank the cells of a grid and copy the best."""

from __future__ import annotations

from pathlib import Path

import msgspec

from punie_build.engine.work import StepResult, Work
from punie_build.evaluation import scores
from punie_build.runtime.console import message
from punie_build.storage import store
from punie_build.sweeps import adapter_ranking, eval_ranking
from punie_build.sweeps.adapter_ranking import AdapterRanking, CellResult, SelectionRecord
from punie_build.sweeps.spec import Grid, Selection
from punie_build.training import history

COPIED_FILES = ("adapters.safetensors", "adapter_config.json", "metrics.jsonl")


def grid(work: Work[Grid]) -> StepResult:
    """Rank the cells of a grid."""
    return {"adapter": rank_adapters, "eval": rank_evals}[work.spec.of](work)


def rank_evals(work: Work[Grid]) -> StepResult:
    """Rank settings of an eval by the share of cases that passed."""
    cells = [
        (cell.name, cell.setting, scores.read_scores(folder).cases)
        for cell, folder in zip(work.spec.cells, work.inputs(), strict=True)
    ]
    ranking = eval_ranking.rank_evals(work.task.name, work.spec.axes, cells)
    _write(work.out / "ranking.json", ranking)
    return StepResult(eval_ranking.summary(ranking), eval_ranking.metrics(ranking))


def rank_adapters(work: Work[Grid]) -> StepResult:
    """Rank settings of adapters by validation loss."""
    runs = []
    for cell, folder in zip(work.spec.cells, work.inputs(), strict=True):
        metrics = history.metrics(folder)
        run = CellResult(
            cell=cell.name,
            seed=cell.seed,
            valid_loss=metrics["valid_loss"],
            valid_loss_start=metrics["valid_loss_start"],
            valid_loss_last=metrics["valid_loss_last"],
            accuracy=metrics["valid_accuracy"],
            best_at=int(metrics["best_at"]),
            iterations=int(metrics["iterations"]),
        )
        runs.append((cell.setting, run))
    ranking = adapter_ranking.rank_adapters(work.task.name, work.spec.axes, runs)
    _write(work.out / "ranking.json", ranking)
    return StepResult(adapter_ranking.summary(ranking), adapter_ranking.metrics(ranking))


def choice(work: Work[Selection]) -> StepResult:
    """Copy the adapter of the first seed: the best seed would be selected by chance, and would change with every
    seed added."""
    spec = work.spec
    ranking = msgspec.json.decode((work.inputs()[0] / "ranking.json").read_bytes(), type=AdapterRanking)
    selected = ranking.settings[spec.rank - 1]
    run = selected.runs[0]
    for name in COPIED_FILES:
        store.copy(work.root / work.task.needs[f"adapter:{run.cell}"] / name, work.out / name)
    record = SelectionRecord(grid=spec.grid, rank=spec.rank, cell=run.cell, setting=selected.setting, seed=run.seed)
    _write(work.out / "choice.json", record)
    return StepResult(_selected(run, history.summary(work.out)), history.metrics(work.out))


@message
def _selected(run: CellResult, summary: str) -> str:
    return f"{run.cell}: {summary}"


def _write(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
