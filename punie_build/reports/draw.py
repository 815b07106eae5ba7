"""Pages: which artifacts have one, what it is made of, and when it is drawn anew.

A page is a view: it enters no key and no digest, and may be deleted at any time. It is older than it should be when the lock of its
artifact, of what that is made from or of what is made of it is newer. To give a kind a page: its row in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.artifacts.graph import Task, tasks
from punie_build.data.sources import Hub
from punie_build.engine import card_notes
from punie_build.engine.plan import plan
from punie_build.errors import PunieError
from punie_build.recipes.recipe import Recipe
from punie_build.reports import index, lineage, markdown, model_card
from punie_build.reports.freshness import written
from punie_build.reports.pages import adapter, adapter_grid, answers, data, evaluation, model, standard_sections
from punie_build.reports.project import Project
from punie_build.reports.section import Section
from punie_build.storage import paths
from punie_build.storage.atomic import put

Make = Callable[[Any], Section | None]


class Kind(Struct, frozen=True):
    """How the pages of a kind are made: what gathers their material, and their sections in order; `facts` are for programs: a
    file of the target."""

    gather: Callable[..., Any]
    sections: Sequence[Make]
    facts: str = ""


KINDS: dict[str, Kind] = {
    "dataset": Kind(data.gather, data.SECTIONS, "stats.json"),
    "stage": Kind(data.gather, data.SECTIONS, "stats.json"),
    "mix": Kind(data.gather, data.SECTIONS, "stats.json"),
    "tokens": Kind(data.gather_tokens, data.TOKENS, "stats.json"),
    "preflight": Kind(data.gather_preflight, data.PREFLIGHT, "findings.json"),
    "adapter": Kind(adapter.gather, adapter.SECTIONS),
    "choice": Kind(adapter.gather, adapter.SECTIONS, "choice.json"),
    "grid": Kind(adapter_grid.gather, adapter_grid.SECTIONS, "ranking.json"),
    "model": Kind(model.gather, model.SECTIONS),
    "answers": Kind(answers.gather, answers.SECTIONS, "proof.json"),
    "eval": Kind(evaluation.gather_eval, evaluation.EVAL),
    "comparison": Kind(evaluation.gather, evaluation.SECTIONS, "comparison.json"),
}

PLAIN = Kind(
    standard_sections.gather, (standard_sections.numbers, standard_sections.gates, *standard_sections.ENDING)
)  # of kinds that have no pages of their own


def project_of(root: Path, recipe: Recipe) -> Project:
    """The artifacts of a recipe as they are now."""
    return Project(root, plan(root, list(tasks(recipe))), recipe.suites)


def refresh(project: Project, wanted: Iterable[Task] | None = None) -> Iterator[str]:
    """Draw the pages that are older than what they show, or those `wanted`, and the index; lines on what could not be drawn."""
    for task in _old(project) if wanted is None else wanted:
        try:
            draw(project, task)
        except (PunieError, OSError, ValueError, KeyError) as error:  # a page is not worth a build
            yield f"{paths.page(task.kind, task.name)}: not drawn: {error or type(error).__name__}"
    try:
        put(project.root, paths.INDEX, _index(project).encode())
    except OSError as error:
        yield f"{paths.INDEX}: not drawn: {error}"


def draw(project: Project, task: Task) -> None:
    """Draw the page of a current artifact, and its twin in Markdown or the card in its folder, if its kind has one."""
    put(project.root, paths.page(task.kind, task.name), page(project, task).encode())
    if task.kind == "comparison":
        material = evaluation.gather(project, task, lock=project.lock(task))
        put(project.root, paths.twin(task.kind, task.name), markdown.comparison(material).encode())
    if task.kind in model_card.KINDS:
        put(project.root, f"{task.target}/{paths.CARD}", card(project, task).encode())


def card(project: Project, task: Task) -> str:
    """The model card of a current adapter or model, with what people wrote into the one that is there."""
    material = KINDS[task.kind].gather(project, task, lock=project.lock(task))
    sources = (each.spec.source for each in project.before(task.label, "dataset"))
    datasets = tuple(dict.fromkeys(source.repo for source in sources if isinstance(source, Hub)))
    return model_card.card(material, card_notes.read(task.target, project.folder(task)), datasets)


def page(project: Project, task: Task) -> str:
    """The page of a current artifact, as HTML."""
    from punie_build.reports.html import Page, render

    kind = KINDS.get(task.kind, PLAIN)
    near = tuple(lineage.around(project.nodes, task.label))
    material = kind.gather(project, task, lock=project.lock(task), around=near)
    facts = (project.folder(task) / kind.facts).read_bytes() if kind.facts else b""
    sections = tuple(section for make in kind.sections if (section := make(material)))
    return render(Page(title=task.name, kicker=task.kind, doc=task.doc, sections=sections, facts=facts))


def _index(project: Project) -> str:
    from punie_build.reports.html import Page, render

    material = index.gather(project)
    sections = tuple(section for make in index.SECTIONS if (section := make(material)))
    return render(Page(title=material.name, kicker="all artifacts", sections=sections, up=False))


def _old(project: Project) -> list[Task]:
    """The current artifacts whose pages are not there, or older than what they show."""
    locks = {label: written(project.root, paths.lock(each.task.target)) for label, each in project.planned.items()}
    newest = dict(locks)  # of an artifact and all that it is made from
    for label, each in project.planned.items():
        newest[label] = max([newest[label], *(newest[need] for need in each.task.needs if need in newest)])
    after = dict(locks)  # and of all that is made of it
    for label, each in reversed(project.planned.items()):
        for need in each.task.needs:
            if need in after:
                after[need] = max(after[need], after[label])
    return [
        each.task
        for label, each in project.planned.items()
        if project.current(label)
        and written(project.root, paths.page(each.task.kind, each.task.name)) < max(newest[label], after[label])
    ]
