"""Searching: `punie-build search NAME` lets Optuna propose settings, each of which is an ordinary adapter.

A setting is written into `recipes/NAME.trials.toml` before it is trained, as a cell of the grid NAME, so nothing is lost: a search that was
interrupted finishes what it had begun, tells Optuna all that the locks know, and goes on. Without the search the file is a recipe like
any other: `doit grid:NAME` ranks the trials, and `NAME` is an arm.
"""

from __future__ import annotations

import os
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build import project
from punie_build.errors import PunieError, UseError, did_you_mean
from punie_build.recipes.loader import load
from punie_build.recipes.recipe import ARMS, Recipe
from punie_build.runtime.console import console
from punie_build.schema.spec import canonical, toml
from punie_build.sweeps import grid
from punie_build.sweeps.axes import Table, flatten, merge, unflatten
from punie_build.sweeps.search_spec import Range, Search
from punie_build.training.spec import Adapter

REPEATS = 20  # proposals in a row that were tried before: the space is small, and known


class Trials:
    """What a search tried, as its recipe file says it: `done` and `failed` are tables over the adapter's."""

    def __init__(self, root: Path, name: str, adapter: Adapter) -> None:
        self.root, self.name, self.adapter = root, name, said(adapter)
        self.place = root / "recipes" / f"{name}.trials.toml"
        held: Table = {}
        if self.place.exists():
            held = tomllib.loads(self.place.read_text(encoding="utf-8")).get("adapter", {}).get(name, {})
        self.done: list[Table] = held.pop("cells", [])
        self.failed: list[Table] = held.pop("failed", [])
        self.best = held.pop("best", 1)
        if held and held != self.adapter:
            raise UseError(
                f"recipes/{self.place.name}: its trials were of another adapter than search.{name} names by now - remove the file to begin anew; what comes out the same is restored"
            )

    def write(self) -> None:
        """Replace the file in one step."""
        lines = [
            f"# What `punie-build search {self.name}` tried. Each cell is an adapter; `doit grid:{self.name}` ranks them.",
            f"[adapter.{self.name}]",
            *(f"{field} = {toml(value)}" for field, value in self.adapter.items()),
            *([f"best = {self.best}"] if self.best != 1 else []),
            *([f"failed = {toml(self.failed)}"] if self.failed else []),
            "cells = [",
            *(f"    {toml(each)}," for each in self.done),
            "]",
        ]
        fresh = self.place.with_name(f"{self.place.name}.{os.getpid()}.new")
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        fresh.replace(self.place)

    def attempt(self, some: Table) -> float | None:
        """Record a setting and train it; None where that fails."""
        self.done.append(some)
        self.write()
        return self.finish(some)

    def finish(self, some: Table) -> float | None:
        """The validation loss of a setting that is recorded, trained if it is not; None where that fails. What fails before it, such as
        its data, fails for all settings, and is raised."""
        cell = project.task(self.root, self.label(some))
        for need in cell.needs:
            project.make(self.root, need)
        try:
            return project.make(self.root, cell.label).metrics["valid_loss"]
        except PunieError as error:
            console.print_line(f"!  {_shown(some)}\n   {error}")
        self.done.remove(some)
        self.failed.append(some)
        if self.done:
            self.write()
        else:  # a grid has cells
            self.place.unlink(missing_ok=True)
        return None

    def label(self, some: Table) -> str:
        """The adapter that a setting is."""
        spec = grid.without_ineffective("adapter", msgspec.convert(merge(self.adapter, some), Adapter))
        cells = [each for each in load(self.root).of("adapter") if each.name.startswith(f"{self.name}@")]
        [label] = [each.label for each in cells if canonical(each.spec) == canonical(spec)]
        return label


def search(root: Path, name: str, trials: int) -> int:
    """Try so many more settings; 0. Raises UseError where there is no such search, or no Optuna."""
    try:
        import optuna
    except ImportError:
        raise UseError("search: Optuna is not installed - pip install 'punie-build[search]'") from None
    recipe = load(root)
    spec = _wanted(recipe, name)
    tried = Trials(root, name, recipe.artifacts["adapter", spec.adapter].spec)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=spec.seed + len(tried.done) + len(tried.failed))
    study = optuna.create_study(direction="minimize", sampler=sampler)
    space = {field: _distribution(optuna, within) for field, within in spec.space.items()}
    known: dict[bytes, float | None] = {canonical(some): None for some in tried.failed}
    for some in [*tried.done]:
        known[canonical(some)] = loss = tried.finish(some)
        if loss is not None:
            with suppress(ValueError):  # of another space than the search has by now
                study.add_trial(optuna.trial.create_trial(params=dict(flatten(some)), distributions=space, value=loss))
    left, repeats = trials, 0
    while left and repeats < REPEATS:
        trial = study.ask(space)
        some = unflatten({field: _round(value, spec.space[field]) for field, value in trial.params.items()})
        new = canonical(some) not in known
        if new:
            console.print_line(f"trial {len(tried.done) + len(tried.failed) + 1}: {_shown(some)}")
            known[canonical(some)] = tried.attempt(some)
        loss = known[canonical(some)]
        study.tell(trial, loss, state=None if loss is not None else optuna.trial.TrialState.FAIL)
        left, repeats = (left - 1, 0) if new else (left, repeats + 1)
    if left:
        console.print_line(
            f"search.{name}: nothing new after {REPEATS} proposals - its space is small; widen it, or take the best"
        )
    if tried.done:
        project.make(root, f"grid:{name}")
    return 0


def _wanted(recipe: Recipe, name: str) -> Search:
    known = {described.name: described for described in recipe.of("search")}
    if name not in known:
        raise UseError(f"search {name}: the recipes have no [search.{name}]{did_you_mean(name, known)}")
    own = f"recipes/{name}.trials.toml"
    for described in recipe.artifacts.values():
        if described.kind in (*ARMS, "grid") and described.name == name and described.file != own:
            raise UseError(
                f"search.{name}: its trials would be the adapter '{name}', and {described.file} has {described.kind}.{name} - give the search another name"
            )
    spec: Search = known[name].spec
    return spec


def said(spec: Struct) -> Table:
    """What a spec says beyond its defaults, as a recipe would."""
    tag = spec.__struct_config__.tag
    table: Table = {} if tag is None else {str(spec.__struct_config__.tag_field): tag}
    for field in structs.fields(spec):
        value = getattr(spec, field.name)
        if field.name in ("gates", "description") or value == field.default:
            continue
        table[field.encode_name] = said(value) if isinstance(value, Struct) else msgspec.to_builtins(value)
    return table


def _distribution(optuna: Any, within: Range | tuple[Any, ...]) -> Any:
    if not isinstance(within, Range):
        return optuna.distributions.CategoricalDistribution(within)
    if isinstance(within.low, int) and isinstance(within.high, int):
        return optuna.distributions.IntDistribution(within.low, within.high, log=within.log, step=int(within.step or 1))
    return optuna.distributions.FloatDistribution(within.low, within.high, log=within.log, step=within.step)


def _round(value: Any, within: Range | tuple[Any, ...]) -> Any:
    """Floats with four digits: they become names."""
    if isinstance(within, Range) and isinstance(value, float):
        return min(max(float(f"{value:.4g}"), float(within.low)), float(within.high))
    return value


def _shown(some: Table) -> str:
    return ", ".join(f"{field} {value}" for field, value in flatten(some))
