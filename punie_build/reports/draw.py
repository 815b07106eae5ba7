"""Draw pages: which artifacts have one, and when it is drawn again.

A page is a view: it enters no key and no digest, and may be deleted at any time. It is out of date when the lock of its
artifact, of something that this is built from, or of something that is built from it, is newer, or when their recipes
have changed, such as a gate."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import PurePosixPath

from punie_build.artifacts.data import DATASET
from punie_build.engine import card_notes
from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.errors import PunieError
from punie_build.models.origin import read_origin
from punie_build.models.spec import Base
from punie_build.project import Project
from punie_build.reports import build_history, experiments, freshness, index, lineage, model_card
from punie_build.reports.freshness import written_at
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import standard_sections
from punie_build.schema.spec import digest
from punie_build.storage import paths
from punie_build.storage.atomic import replace_file

HEAD_BYTES = 2048  # of a page, in which its digest of the recipes is
MARK = '<p class="banner inconclusive" id="outdated">'
PLAIN_PAGE = PageKind(  # for kinds without a page of their own
    load=standard_sections.load,
    sections=(standard_sections.metrics, standard_sections.gates, *standard_sections.CLOSING),
)


def page_kind(task: AnyTask) -> PageKind:
    """Return how the page of a task is made."""
    kind: PageKind = resolve(task.kind.page) if task.kind.page else PLAIN_PAGE
    return kind


def refresh(project: Project, selected: Iterable[AnyTask] | None = None) -> Iterator[str]:
    """Draw the pages that are out of date, or those `wanted`, and the index; yield a line for each that could not be
    drawn."""
    for task in _outdated(project) if selected is None else selected:
        try:
            draw(project, task)
        except (PunieError, OSError, ValueError, KeyError) as error:  # a page is not worth a failed build
            yield f"{paths.page(task.kind.name, task.name)}: not drawn: {error or type(error).__name__}"
    _mark_old(project)
    for path, render in ((paths.INDEX, _index), (paths.EXPERIMENTS, _experiments)):
        try:
            replace_file(project.root / path, render(project).encode())
        except OSError as error:
            yield f"{path}: not drawn: {error}"


def _mark_old(project: Project) -> None:
    """Mark the pages of artifacts that are not current, and of those that no recipe describes any more."""
    tasks = {paths.page(task.kind.name, task.name): task for task in project.tasks}
    folder = PurePosixPath(paths.INDEX).parent
    for path in sorted((project.root / folder).glob("*-*.html")):
        task, (kind, _, name) = tasks.get(f"{folder}/{path.name}"), path.stem.partition("-")
        if kind not in project.recipe.kinds or (task and project.state(task) in ("current", "removed")):
            continue
        text = path.read_text(encoding="utf-8")
        if MARK in text:
            continue
        remark = f"This page is of an earlier build: {kind}:{name} is not current."
        if task is None:
            remark = f"No recipe describes {kind}:{name} any more: punie-build prune removes this page."
        replace_file(path, text.replace("<main>", f"<main>\n{MARK}{escape(remark)}</p>", 1).encode())
        os.utime(path, ns=(freshness.MARKED, freshness.MARKED))


def draw(project: Project, task: AnyTask) -> None:
    """Draw the page of a current artifact, after its Markdown form or the card in its folder, if its kind has one.

    The time of the page says that all are drawn: a build that is killed before it draws them again.
    """
    kind, name = page_kind(task), task.kind.name
    if kind.markdown:
        values = kind.load(project, task, lock=project.lock(task), builds=(build_history.build(project, task),))
        replace_file(project.root / paths.markdown_page(name, task.name), resolve(kind.markdown)(values).encode())
    if kind.card:
        replace_file(project.root / task.target / paths.CARD, card(project, task).encode())
    replace_file(project.root / paths.page(name, task.name), page(project, task).encode())


def card(project: Project, task: AnyTask) -> str:
    """Return the model card of a current adapter or model, with the notes that people wrote into the present one."""
    values = page_kind(task).load(project, task, lock=project.lock(task))
    sources = (each.spec.source for each in project.upstream(task.label, DATASET.name))
    repos = tuple(dict.fromkeys(source.repo for source in sources if hasattr(source, "repo")))
    base = task.external.get("base")
    origin = read_origin(project.root, base) if isinstance(base, Base) else None
    return model_card.card(values, card_notes.read(task.target, project.folder(task)), repos, origin)


def page(project: Project, task: AnyTask) -> str:
    """Return the page of a current artifact as HTML."""
    from punie_build.reports.html import Page, render

    kind = page_kind(task)
    neighbors = tuple(lineage.of_project(project).neighborhood(task.label))
    builds = build_history.builds(project, task)
    values = kind.load(project, task, lock=project.lock(task), neighbors=neighbors, builds=builds)
    data = (project.folder(task) / kind.data_file).read_bytes() if kind.data_file else b""
    sections = tuple(section for make in kind.sections if (section := make(values)))
    return render(
        Page(
            title=task.name,
            label=task.kind.name,
            doc=task.doc,
            built=builds[-1].text,
            recipe=_recipe_digest(project, task),
            sections=sections,
            facts=data,
        )
    )


def _recipe_digest(project: Project, task: AnyTask) -> str:
    """Return the digest of the recipes of an artifact, its sources and its users. Gates and descriptions enter
    no lock, so an edit of them builds nothing, but pages show them."""
    nodes = lineage.of_project(project).neighborhood(task.label)
    tasks = [project.planned[node.label].task for node in nodes if node.label in project.planned]
    return digest([(each.label, each.doc, each.spec) for each in tasks])[:32]


def _shows_recipe(project: Project, task: AnyTask, path: str) -> bool:
    """Return whether a page was drawn from the recipes as they are now."""
    with (project.root / path).open("rb") as file:
        return f'name="recipe" content="{_recipe_digest(project, task)}"'.encode() in file.read(HEAD_BYTES)


def _index(project: Project) -> str:
    from punie_build.reports.html import Page, render

    values = index.load(project)
    sections = tuple(section for make in index.SECTIONS if (section := make(values)))
    return render(Page(title=values.name, label="all artifacts", sections=sections, up=False))


def _experiments(project: Project) -> str:
    from punie_build.reports.html import Page, render

    tables = experiments.load(project)
    chart = experiments.curves(project)
    sections = (*([chart] if chart else []), *experiments.sections(tables))
    return render(Page(title="Experiments", label=project.root.name, sections=sections))


def _outdated(project: Project) -> list[AnyTask]:
    """Return the current artifacts whose pages are missing, or older than their content, or show another recipe."""
    locks = {label: written_at(project.root, paths.lock(item.task.target)) for label, item in project.planned.items()}
    newest_source = dict(locks)  # of an artifact and all that it is built from
    for label, item in project.planned.items():
        sources = (newest_source[need] for need in item.task.needs if need in newest_source)
        newest_source[label] = max([newest_source[label], *sources])
    newest_user = dict(locks)  # of an artifact and all that is built from it
    for label, item in reversed(project.planned.items()):
        for need in item.task.needs:
            if need in newest_user:
                newest_user[need] = max(newest_user[need], newest_user[label])
    edited = {file: written_at(project.root, file) for file in {task.file for task in project.tasks if task.file}}
    result = []
    for label, item in project.planned.items():
        path = paths.page(item.task.kind.name, item.task.name)
        drawn = written_at(project.root, path)
        if project.is_current(label) and (
            drawn < max(newest_source[label], newest_user[label])
            or (drawn < max(edited.values(), default=0) and not _shows_recipe(project, item.task, path))
        ):
            result.append(item.task)
    return result
