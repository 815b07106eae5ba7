"""Lineage: what is made from what, as an SVG. Layered: each artifact stands to the right of all that it is made from.

Long edges go through places of their own in the layers between, so that no line runs through a box; the order within a layer is
that of the middle of what it is joined to, gone over a few times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct, structs

from punie_build.engine.recipe import Entry, references
from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.storage import paths

WIDTH, HEIGHT, ACROSS, DOWN, EDGE = 158, 40, 36, 12, 6
SWEEPS = 8
MANY = 4  # boxes that are all alike; more are one
LETTERS = 20  # that fit into a box


class Node(Struct, frozen=True, kw_only=True):
    """A box: `of` are the labels of what it is made from; `href` leads to its page; `state` is a class of the style."""

    label: str
    kind: str
    name: str
    of: tuple[str, ...] = ()
    href: str = ""
    state: str = "current"
    here: bool = False


class Place(Struct):
    """A box or a bend of a long edge: its layer, and its height in it."""

    layer: int
    y: float = 0.0
    node: Node | None = None


def nodes(project: Project) -> list[Node]:
    """Return every artifact, and the bases and suites that recipes name, in the order of the graph."""
    boxes: dict[str, Node] = {}
    for task in project.tasks:
        outside = list(_unbuilt(project, task))
        for entry in outside:
            boxes.setdefault(entry.label, Node(label=entry.label, kind=entry.kind.name, name=entry.name))
        boxes[task.label] = Node(
            label=task.label,
            kind=task.kind.name,
            name=task.name,
            of=(*task.needs, *(entry.label for entry in outside)),
            href=href(project, task),
            state=project.state(task),
        )
    return list(boxes.values())


def _unbuilt(project: Project, task: AnyTask) -> Iterator[Entry[Any]]:
    """Yield the entries that an artifact refers to and that no task builds, such as bases and suites."""
    for reference in references(task.kind, msgspec.to_builtins(task.spec)):
        entry = project.recipe.find(reference.role, reference.name)
        if entry and not entry.kind.is_built:
            yield entry


def href(project: Project, task: AnyTask) -> str:
    """Return the link from one page to another; "" where there is none."""
    path = paths.page(task.kind.name, task.name)
    exists = project.is_current(task.label) or (project.root / path).exists()
    return quote(path.rpartition("/")[2]) if exists else ""


def facts(nodes: Sequence[Node], title: str) -> dict[str, Any]:
    """The graph as an SVG in which every box is a link, and how many pixels wide it is. Nodes come after what they are made from."""
    places, edges = _places(folded(nodes))
    layers: list[list[str]] = [[] for _ in range(max(place.layer for place in places.values()) + 1)]
    for name, place in places.items():
        layers[place.layer].append(name)
    _settle(layers, places, edges)
    lowest = min(place.y for place in places.values())
    for place in places.values():
        place.y += EDGE - lowest
    wide = len(layers) * (WIDTH + ACROSS) - ACROSS + 2 * EDGE
    high = max(place.y for place in places.values()) + HEIGHT + EDGE
    lines = [f'<path d="{_curve(places[a], places[b])}"/>' for a, b in edges]
    boxes = [_box(place, place.node) for place in places.values() if place.node]
    picture = (
        f'<svg class="lineage" viewBox="0 0 {wide} {high:.0f}" width="{wide}" role="group" aria-label="{escape(title)}">'
        f'<g class="edges" aria-hidden="true">{"".join(lines)}</g>{"".join(boxes)}</svg>'
    )
    return {"picture": picture, "wide": wide}


def folded(nodes: Sequence[Node]) -> list[Node]:
    """The same graph with one box for many that are made from the same and into the same, such as the cells of a grid."""
    into: dict[str, list[str]] = {node.label: [] for node in nodes}
    for node in nodes:
        for label in node.of:
            into.setdefault(label, []).append(node.label)
    alike: dict[Any, list[Node]] = {}
    for node in nodes:
        alike.setdefault((node.kind, node.of, tuple(into[node.label]), node.state, node.here), []).append(node)
    named: dict[str, str] = {}  # label -> that of the box it is drawn in
    boxes: dict[str, Node] = {}
    for some in alike.values():
        if len(some) <= MANY:
            boxes |= {node.label: node for node in some}
            continue
        grids = {node.name.partition("@")[0] for node in some}
        name = f"{grids.pop()} × {len(some)}" if len(grids) == 1 else f"{len(some)} of them"
        boxes[some[0].label] = structs.replace(some[0], name=name, href="")
        named |= {node.label: some[0].label for node in some}
    shown = (boxes[node.label] for node in nodes if node.label in boxes)
    return [structs.replace(node, of=tuple(dict.fromkeys(named.get(of, of) for of in node.of))) for node in shown]


def _places(nodes: Sequence[Node]) -> tuple[dict[str, Place], list[tuple[str, str]]]:
    """Boxes and bends by name, and the edges between those of neighboring layers."""
    places: dict[str, Place] = {}
    above: dict[str, set[str]] = {}  # label -> all it is made from, however far
    edges: list[tuple[str, str]] = []
    for node in nodes:
        of = [label for label in dict.fromkeys(node.of) if label in places]
        above[node.label] = set(of).union(*(above[label] for label in of))
        place = Place(1 + max((places[label].layer for label in of), default=-1), node=node)
        places[node.label] = place
        for label in of:
            if any(label in above[other] for other in of if other != label):
                continue  # it is behind another one: that edge says it
            last = label
            for layer in range(places[label].layer + 1, place.layer):
                bend = f"{label}>{layer}"
                if bend not in places:
                    places[bend] = Place(layer)
                    edges.append((last, bend))
                last = bend
            edges.append((last, node.label))
    return places, list(dict.fromkeys(edges))


def _settle(layers: list[list[str]], places: dict[str, Place], edges: list[tuple[str, str]]) -> None:
    """Give every place its height: near to what it is joined to, and apart from its neighbors."""
    left: dict[str, list[str]] = {name: [] for name in places}
    right: dict[str, list[str]] = {name: [] for name in places}
    for a, b in edges:
        left[b].append(a)
        right[a].append(b)
    for layer in layers:
        _spread(layer, places)
    for sweep in range(SWEEPS):
        back = sweep % 2
        for layer in reversed(layers) if back else layers:
            joined = right if back else left
            for name in layer:
                near = [places[other].y for other in joined[name]] or [places[other].y for other in left[name]]
                if near:
                    places[name].y = sum(near) / len(near)
            layer.sort(key=lambda name: places[name].y)
            _spread(layer, places)


def _spread(layer: list[str], places: dict[str, Place]) -> None:
    """Keep the order of a layer and let no two places touch; what was pushed down is centered where it wanted to be."""
    wanted = [places[name].y for name in layer]
    last = float("-inf")
    for name in layer:
        step = HEIGHT + DOWN if places[name].node else DOWN * 2
        places[name].y = max(places[name].y, last)
        last = places[name].y + step
    shift = sum(places[name].y - was for name, was in zip(layer, wanted, strict=True)) / max(len(layer), 1)
    for name in layer:
        places[name].y -= shift


def _curve(a: Place, b: Place) -> str:
    x = a.layer * (WIDTH + ACROSS) + EDGE + WIDTH
    end = b.layer * (WIDTH + ACROSS) + EDGE
    one, two = a.y + HEIGHT / 2, b.y + HEIGHT / 2
    through = "" if a.node else f"M{x - WIDTH} {one:.1f}H{x}"  # a bend goes straight through its layer
    middle = (x + end) / 2
    return f"{through}M{x} {one:.1f}C{middle:.0f} {one:.1f} {middle:.0f} {two:.1f} {end} {two:.1f}"


def _box(place: Place, node: Node) -> str:
    x = place.layer * (WIDTH + ACROSS) + EDGE
    name = node.name if len(node.name) <= LETTERS else f"{node.name[: LETTERS - 1]}…"
    state = "" if node.state in ("current", "spent") else f", {node.state}"
    said = escape(f"{node.kind} {node.name}{state}")
    inside = (
        f'<rect x="{x}" y="{place.y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="9"/>'
        f'<text class="kind" x="{x + 13}" y="{place.y + 15:.1f}">{escape(node.kind + state)}</text>'
        f'<text class="name" x="{x + 13}" y="{place.y + 31:.1f}">{escape(name)}</text>'
    )
    style = f"node is-{node.kind}{' here' if node.here else ''}{' not-current' if state else ''}"
    if node.href:
        return f'<a class="{style}" href="{escape(node.href)}" aria-label="{said}"><title>{said}</title>{inside}</a>'
    return f'<g class="{style}"><title>{said}</title>{inside}</g>'


def around(nodes: Sequence[Node], label: str) -> Iterator[Node]:
    """What an artifact is made from, and what of it, however far; itself is `here`."""
    of = {node.label: node.of for node in nodes}
    before = {label}
    waiting = [label]
    while waiting:
        more = [each for each in of.get(waiting.pop(), ()) if each not in before]
        before.update(more)
        waiting += more
    after = {label}
    for node in nodes:
        if after.intersection(node.of):
            after.add(node.label)
    for node in nodes:
        if node.label in before | after:
            yield structs.replace(node, here=True) if node.label == label else node
