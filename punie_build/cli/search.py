"""Run a search: Optuna proposes settings, and each of them is an ordinary adapter.

A setting is written to `recipes/NAME.trials.toml` before it is trained, as a cell of the grid NAME, so no trial is
lost: an interrupted search finishes the trials that it began, reports the results in the locks to Optuna, and
continues. The file is a recipe like any other: `doit grid:NAME` ranks the trials, and `NAME` can be compared.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from punie_build.artifacts.grid import GRID, SEARCH
from punie_build.artifacts.training import ADAPTER
from punie_build.errors import PunieError, UseError, did_you_mean
from punie_build.project import Project
from punie_build.recipes.python_recipes import fields
from punie_build.runtime.console import console
from punie_build.runtime.program import build_command
from punie_build.schema.spec import canonical, toml
from punie_build.storage import project_file
from punie_build.storage.atomic import replace_file
from punie_build.sweeps import grid
from punie_build.sweeps.axes import Table, flatten, merge, unflatten
from punie_build.sweeps.search_spec import Range, Search
from punie_build.training.spec import Adapter

MAX_REPEATS = 20  # proposals in a row that were tried before: the space is small and exhausted


class Trials:
    """The settings that a search has tried, as its recipe file lists them: tables over the table of the adapter."""

    def __init__(self, root: Path, name: str, adapter: Adapter) -> None:
        self.root, self.name = root, name
        self.adapter = {key: value for key, value in fields(adapter).items() if key not in ("gates", "description")}
        self.path = root / "recipes" / f"{name}.trials.toml"
        table: Table = {}
        if self.path.exists():
            table = project_file.read_toml(self.path).get(ADAPTER.name, {}).get(name, {})
        self.done: list[Table] = table.pop("cells", [])
        self.failed: list[Table] = table.pop("failed", [])
        self.best = table.pop("best", 1)
        if table and table != self.adapter:
            raise UseError(
                f"recipes/{self.path.name}: its trials were of another adapter than search.{name} names now - remove "
                "the file to start again; trials that come out the same are restored"
            )

    def write(self) -> None:
        """Replace the file in one step."""
        lines = [
            (
                f"# Trials of `punie-build search {self.name}`. Each cell is an adapter; "
                f"`{build_command()} {GRID.name}:{self.name}` ranks them."
            ),
            f"[adapter.{self.name}]",
            *(f"{field} = {toml(value)}" for field, value in self.adapter.items()),
            *([f"best = {self.best}"] if self.best != 1 else []),
            *([f"failed = {toml(self.failed)}"] if self.failed else []),
            "cells = [",
            *(f"    {toml(setting)}," for setting in self.done),
            "]",
        ]
        replace_file(self.path, ("\n".join(lines) + "\n").encode())

    def start(self, setting: Table) -> float | None:
        """Record a setting and train it; return its validation loss, or None if it fails."""
        self.done.append(setting)
        self.write()
        return self.finish(setting)

    def finish(self, setting: Table) -> float | None:
        """Return the validation loss of a recorded setting, trained if it is not, or None if that fails.

        A failure before the training, such as one of its data, fails for all settings, and is raised.
        """
        project = Project.load(self.root)
        task = project.task(self.label(project, setting))
        for need in task.needs:
            project.build(need)
        try:
            return project.build(task.label).metrics["valid_loss"]
        except PunieError as error:
            console.print_line(f"!  {_text(setting)}\n   {error}")
        self.done.remove(setting)
        self.failed.append(setting)
        if self.done:
            self.write()
        else:  # a grid without cells is a mistake
            self.path.unlink(missing_ok=True)
        return None

    def label(self, project: Project, setting: Table) -> str:
        """Return the label of the adapter that a setting is."""
        spec = grid.without_ineffective(msgspec.convert(merge(self.adapter, setting), Adapter))
        cells = [entry for entry in project.recipe.of_kind(ADAPTER.name) if entry.name.startswith(f"{self.name}@")]
        [label] = [cell.label for cell in cells if canonical(cell.spec) == canonical(spec)]
        return label


def search(root: Path, name: str, count: int) -> int:
    """Try `count` more settings; return 0. Raises UseError if there is no such search, or no Optuna."""
    try:
        import optuna
    except ImportError:
        raise UseError("search: Optuna is not installed - pip install 'punie-build[search]'") from None
    project, name = Project.load(root), name.removeprefix(f"{SEARCH.name}:")
    spec = _search_spec(project, name)
    trials = Trials(root, name, project.recipe.resolve(ADAPTER.name, spec.adapter).spec)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=spec.seed + len(trials.done) + len(trials.failed))
    study = optuna.create_study(direction="minimize", sampler=sampler)
    space = {field: _distribution(optuna, values) for field, values in spec.space.items()}
    losses: dict[bytes, float | None] = {canonical(setting): None for setting in trials.failed}
    for setting in [*trials.done]:
        losses[canonical(setting)] = loss = trials.finish(setting)
        if loss is not None:
            with suppress(ValueError):  # of another space than the search has now
                params = dict(flatten(setting))
                study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=loss))
    remaining, repeats = count, 0
    while remaining and repeats < MAX_REPEATS:
        trial = study.ask(space)
        setting = unflatten({field: _round(value, spec.space[field]) for field, value in trial.params.items()})
        is_new = canonical(setting) not in losses
        if is_new:
            console.print_line(f"trial {len(trials.done) + len(trials.failed) + 1}: {_text(setting)}")
            losses[canonical(setting)] = trials.start(setting)
        loss = losses[canonical(setting)]
        study.tell(trial, loss, state=None if loss is not None else optuna.trial.TrialState.FAIL)
        remaining, repeats = (remaining - 1, 0) if is_new else (remaining, repeats + 1)
    if remaining:
        console.print_line(
            f"search.{name}: no new setting in {MAX_REPEATS} proposals, its space is small - widen it, or take the best"
        )
    if trials.done:
        Project.load(root).build(f"{GRID.name}:{name}")
    return 0


def _search_spec(project: Project, name: str) -> Search:
    searches = {entry.name: entry for entry in project.recipe.of_kind(SEARCH.name)}
    if name not in searches:
        raise UseError(f"search {name}: the recipes have no [search.{name}]{did_you_mean(name, searches)}")
    own_file = f"recipes/{name}.trials.toml"
    for other in project.recipe.entries.values():
        is_taken = "arm" in other.kind.roles or other.kind is GRID
        if is_taken and other.name == name and other.file != own_file:
            raise UseError(
                f"search.{name}: its trials would be the adapter '{name}', but {other.file} has {other.label} "
                "- give the search another name"
            )
    spec: Search = searches[name].spec
    return spec


def _distribution(optuna: Any, values: Range | tuple[Any, ...]) -> Any:
    if not isinstance(values, Range):
        return optuna.distributions.CategoricalDistribution(values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return optuna.distributions.IntDistribution(values.low, values.high, log=values.log, step=int(values.step or 1))
    return optuna.distributions.FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def _round(value: Any, values: Range | tuple[Any, ...]) -> Any:
    """Round floats to four digits: they become names."""
    if isinstance(values, Range) and isinstance(value, float):
        return min(max(float(f"{value:.4g}"), float(values.low)), float(values.high))
    return value


def _text(setting: Table) -> str:
    return ", ".join(f"{field} {value}" for field, value in flatten(setting))
