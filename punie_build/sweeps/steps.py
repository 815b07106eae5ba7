"""Steps of grids: the ranking of all cells, and copies of the best."""

from __future__ import annotations

import msgspec

from punie_build.engine.build import Made, Work
from punie_build.evaluation import scores
from punie_build.runtime.console import message
from punie_build.storage import paths, store
from punie_build.sweeps import adapter_ranking, eval_ranking
from punie_build.sweeps.adapter_ranking import Ranking, Run
from punie_build.sweeps.grid import Choice, Grid
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
    found = eval_ranking.tuning(work.task.name, spec.axes, cells)
    (work.out / "ranking.json").write_bytes(_text(found))
    return Made(eval_ranking.sentence(found), eval_ranking.metrics(found))


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
    ranked = adapter_ranking.ranking(work.task.name, spec.axes, runs)
    (work.out / "ranking.json").write_bytes(_text(ranked))
    return Made(adapter_ranking.sentence(ranked), adapter_ranking.metrics(ranked))


def choice(work: Work) -> Made:
    """Copy the adapter of the first seed: the best one would be chosen by chance, and would change with every seed added."""
    spec: Choice = work.task.spec
    ranked = msgspec.json.decode((work.root / work.task.inputs[0] / "ranking.json").read_bytes(), type=Ranking)
    place = ranked.places[spec.place - 1]
    run = place.runs[0]
    for name in COPIED:
        store.copy(work.root / paths.target("adapter", run.cell) / name, work.out / name)
    said = {"grid": spec.grid, "place": spec.place, "cell": run.cell, "setting": place.setting, "seed": run.seed}
    (work.out / "choice.json").write_bytes(_text(said))
    return Made(_chosen(run, history.summary(work.out)), history.metrics(work.out))


@message
def _chosen(run: Run, became: str) -> str:
    return f"{run.cell}: {became}"


def _text(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
