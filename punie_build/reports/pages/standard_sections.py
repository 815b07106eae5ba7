"""Common: the sections that every artifact's page ends with."""

from __future__ import annotations

from typing import Any

from punie_build.engine.gates import expectations, required
from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports import lineage
from punie_build.reports.section import Material, Section, asked


def gates(m: Material) -> Section | None:
    """The numbers it must reach, and whether it does."""
    some = (*required(m.task.spec), *expectations(m.task.spec))
    rows = [
        {"gate": gate, "value": m.lock.metrics.get(gate.metric), "objection": gate.problem(m.lock.metrics)}
        for gate in some
    ]
    return (
        Section("gates", "Gates", {"rows": rows, "shut": sum(bool(row["objection"]) for row in rows)}) if rows else None
    )


def recipe(m: Material) -> Section:
    """What the recipe asks for; what it leaves as it is comes folded."""
    fields = list(asked(m.task.spec))
    return Section(
        "recipe",
        "Recipe",
        {
            "file": m.task.file,
            "fields": [field for field in fields if not field.default],
            "defaults": [field for field in fields if field.default],
        },
    )


def around(m: Material) -> Section | None:
    """What it is made from, and what is made of it."""
    if len(m.around) < 2:
        return None
    return Section("lineage", "Lineage", lineage.facts(m.around, f"Lineage of {m.task.name}"))


def made(m: Material) -> Section:
    """Everything that decides its bytes, and how to get them again."""
    lock = m.lock
    return Section(
        "made",
        "How it was made",
        {
            "label": m.task.label,
            "target": m.task.target,
            "key": lock.key,
            "code": lock.key_inputs.code,
            "inputs": lock.key_inputs.inputs,
            "tools": lock.key_inputs.tools,
            "outputs": lock.outputs,
            "seconds": lock.seconds,
        },
    )


def load(_project: Project, task: AnyTask, **more: Any) -> Material:
    """The material of a page that shows nothing special."""
    return Material(task=task, **more)


def numbers(m: Material) -> Section | None:
    """The first of its metrics."""
    cards = [
        {"name": name.replace("_", " "), "value": f"{value:,.4g}", "soft": ""} for name, value in m.lock.metrics.items()
    ]
    return Section("numbers", "", {"cards": cards[:8]}) if cards else None


ENDING = (recipe, around, made)
