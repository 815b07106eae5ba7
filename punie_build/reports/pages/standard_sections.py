"""Sections that the pages of all kinds share: metrics, gates, recipe, lineage, provenance."""

from __future__ import annotations

from typing import Any

from punie_build.engine.gates import expectations, required
from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports import lineage
from punie_build.reports.section import ArtifactPage, Section, recipe_fields
from punie_build.runtime.console import format_seconds

MAX_METRICS = 8


def load(_project: Project, task: AnyTask, **common: Any) -> ArtifactPage:
    """Return the data of a page of a kind that has no page module; `common` are the fields of `ArtifactPage`."""
    return ArtifactPage(task=task, **common)


def metrics(page: ArtifactPage) -> Section | None:
    """Show the first metrics of the lock."""
    cards = [
        {"name": name.replace("_", " "), "value": f"{value:,.4g}", "note": ""}
        for name, value in page.lock.metrics.items()
    ]
    return Section("cards", "", {"cards": cards[:MAX_METRICS]}) if cards else None


def gates(page: ArtifactPage) -> Section | None:
    """Show the thresholds of the recipe, and whether each gate passed."""
    rows = [
        {"gate": gate, "value": page.lock.metrics.get(gate.metric), "problem": gate.problem(page.lock.metrics)}
        for gate in (*required(page.task.spec), *expectations(page.task.spec))
    ]
    if not rows:
        return None
    return Section("gates", "Gates", {"rows": rows, "failed": sum(bool(row["problem"]) for row in rows)})


def recipe(page: ArtifactPage) -> Section:
    """Show the fields that the recipe sets, and the defaults folded."""
    fields = list(recipe_fields(page.task.spec))
    context = {
        "file": page.task.file,
        "fields": [field for field in fields if not field.is_default],
        "defaults": [field for field in fields if field.is_default],
    }
    return Section("recipe", "Recipe", context)


def lineage_graph(page: ArtifactPage) -> Section | None:
    """Draw the graph of the artifacts that this one depends on and that depend on it."""
    if len(page.neighbors) < 2:
        return None
    return Section("lineage", "Lineage", lineage.picture(page.neighbors, f"Lineage of {page.task.name}"))


def provenance(page: ArtifactPage) -> Section:
    """Show when and where the artifact and its sources were built, every digest that the key consists of, and the
    command that rebuilds the artifact."""
    lock = page.lock
    context = {
        "label": page.task.label,
        "target": page.task.target,
        "key": lock.key,
        "code": lock.key_inputs.code,
        "inputs": lock.key_inputs.inputs,
        "tools": lock.key_inputs.tools,
        "outputs": lock.outputs,
        "builds": [(build, format_seconds(build.seconds)) for build in page.builds if build.key],
    }
    return Section("provenance", "Provenance", context)


CLOSING = (recipe, lineage_graph, provenance)
