"""The picture of lineage: what is built from what, as an SVG in which every box is a link.

The layout has layers: an artifact is to the right of everything that it is built from. A long edge passes through
bends in the layers between, so that no line crosses a box. The order within a layer follows the average position of
the neighbors, in several sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct, structs

from punie_build.engine.recipe import Entry, references
from punie_build.engine.task import AnyTask, closure
from punie_build.project import Project
from punie_build.storage import paths

BOX_WIDTH, BOX_HEIGHT, LAYER_GAP, ROW_GAP, MARGIN = 158, 40, 36, 12, 6  # pixels
SWEEPS = 8
MAX_ALIKE = 4  # boxes with the same neighbors; more of them are drawn as one
MAX_LETTERS = 20  # of a name in a box


class Node(Struct, frozen=True, kw_only=True):
    """A box. `sources` are labels of the boxes that it is built from; `href` is its page."""

    label: str
    kind: str
    name: str
    sources: tuple[str, ...] = ()
    href: str = ""
    state: str = "current"
    is_subject: bool = False


class Position(Struct):
    """A box, or a bend of a long edge: its layer, and its height in the layer."""

    layer: int
    y: float = 0.0
    node: Node | None = None


Edge = tuple[str, str]


def nodes(project: Project) -> list[Node]:
    """Return every artifact, and the bases and suites that recipes name, in the order of the graph. Optional artifacts
    that were not built are left out."""
    boxes: dict[str, Node] = {}
    for task in project.tasks_in_use():
        unbuilt = list(_unbuilt(project, task))
        for entry in unbuilt:
            boxes.setdefault(entry.label, Node(label=entry.label, kind=entry.kind.name, name=entry.name))
        boxes[task.label] = Node(
            label=task.label,
            kind=task.kind.name,
            name=task.name,
            sources=(*task.needs, *(entry.label for entry in unbuilt)),
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


class Lineage:
    """The nodes of a project, with what each is built from and what is built from it."""

    def __init__(self, all_nodes: Sequence[Node]) -> None:
        self.nodes = {node.label: node for node in all_nodes}
        self.order = {label: index for index, label in enumerate(self.nodes)}
        self.targets: dict[str, list[str]] = {label: [] for label in self.nodes}
        for node in all_nodes:
            for label in node.sources:
                self.targets.setdefault(label, []).append(node.label)

    def neighborhood(self, label: str) -> list[Node]:
        """Return the artifact as the subject, all nodes that it is built from, and all that are built from it."""
        upstream = closure([label], lambda name: self.nodes[name].sources if name in self.nodes else ())
        downstream = closure([label], lambda name: self.targets.get(name, ()))
        labels = sorted((upstream | downstream) & self.nodes.keys(), key=self.order.__getitem__)
        subject = structs.replace(self.nodes[label], is_subject=True)
        return [subject if name == label else self.nodes[name] for name in labels]


@lru_cache(maxsize=1)
def of_project(project: Project) -> Lineage:
    """Return the lineage of a project; all pages of a project are drawn from one."""
    return Lineage(nodes(project))


def picture(all_nodes: Sequence[Node], title: str) -> dict[str, Any]:
    """Return the SVG and its width in pixels. Nodes come after those that they are built from."""
    positions, edges = _positions(folded(all_nodes))
    layers: list[list[str]] = [[] for _ in range(max(position.layer for position in positions.values()) + 1)]
    for name, position in positions.items():
        layers[position.layer].append(name)
    _arrange(layers, positions, edges)
    top = min(position.y for position in positions.values())
    for position in positions.values():
        position.y += MARGIN - top
    width = len(layers) * (BOX_WIDTH + LAYER_GAP) - LAYER_GAP + 2 * MARGIN
    height = max(position.y for position in positions.values()) + BOX_HEIGHT + MARGIN
    lines = [f'<path d="{_curve(positions[start], positions[end])}"/>' for start, end in edges]
    boxes = [_box(position, position.node) for position in positions.values() if position.node]
    size = f'viewBox="0 0 {width} {height:.0f}" width="{width}"'
    svg = (
        f'<svg class="lineage" {size} role="group" aria-label="{escape(title)}">'
        f'<g class="edges" aria-hidden="true">{"".join(lines)}</g>{"".join(boxes)}</svg>'
    )
    return {"picture": svg, "wide": width}


def folded(all_nodes: Sequence[Node]) -> list[Node]:
    """Return the same graph with one box for many that have the same neighbors, such as the cells of a grid."""
    targets: dict[str, list[str]] = {node.label: [] for node in all_nodes}
    for node in all_nodes:
        for label in node.sources:
            targets.setdefault(label, []).append(node.label)
    alike: dict[Any, list[Node]] = {}
    for node in all_nodes:
        key = (node.kind, node.sources, tuple(targets[node.label]), node.state, node.is_subject)
        alike.setdefault(key, []).append(node)
    box_labels: dict[str, str] = {}  # label -> label of the box that stands for it
    boxes: dict[str, Node] = {}
    for group in alike.values():
        if len(group) <= MAX_ALIKE:
            boxes |= {node.label: node for node in group}
            continue
        grids = {node.name.partition("@")[0] for node in group}
        name = f"{grids.pop()} × {len(group)}" if len(grids) == 1 else f"{len(group)} of them"
        boxes[group[0].label] = structs.replace(group[0], name=name, href="")
        box_labels |= {node.label: group[0].label for node in group}
    return [
        structs.replace(box, sources=tuple(dict.fromkeys(box_labels.get(label, label) for label in box.sources)))
        for node in all_nodes
        if (box := boxes.get(node.label))
    ]


def _positions(boxes: Sequence[Node]) -> tuple[dict[str, Position], list[Edge]]:
    """Return boxes and bends by name, and the edges between those of neighboring layers."""
    positions: dict[str, Position] = {}
    ancestors: dict[str, set[str]] = {}
    edges: list[Edge] = []
    for node in boxes:
        sources = [label for label in dict.fromkeys(node.sources) if label in positions]
        ancestors[node.label] = set(sources).union(*(ancestors[label] for label in sources))
        position = Position(1 + max((positions[label].layer for label in sources), default=-1), node=node)
        positions[node.label] = position
        for label in sources:
            if any(label in ancestors[other] for other in sources if other != label):
                continue  # another source is built from it: that edge implies this one
            start = label
            for layer in range(positions[label].layer + 1, position.layer):
                bend = f"{label}>{layer}"
                if bend not in positions:
                    positions[bend] = Position(layer)
                    edges.append((start, bend))
                start = bend
            edges.append((start, node.label))
    return positions, list(dict.fromkeys(edges))


def _arrange(layers: list[list[str]], positions: dict[str, Position], edges: list[Edge]) -> None:
    """Set every height: near the boxes that it is connected to, and apart from its neighbors in the layer."""
    to_left: dict[str, list[str]] = {name: [] for name in positions}
    to_right: dict[str, list[str]] = {name: [] for name in positions}
    for start, end in edges:
        to_left[end].append(start)
        to_right[start].append(end)
    for layer in layers:
        _separate(layer, positions)
    for sweep in range(SWEEPS):
        is_backward = sweep % 2
        for layer in reversed(layers) if is_backward else layers:
            connected = to_right if is_backward else to_left
            for name in layer:
                heights = [positions[other].y for other in connected[name] or to_left[name]]
                if heights:
                    positions[name].y = sum(heights) / len(heights)
            layer.sort(key=lambda name: positions[name].y)
            _separate(layer, positions)


def _separate(layer: list[str], positions: dict[str, Position]) -> None:
    """Keep the order of a layer and let no two positions touch; center the result on the heights before."""
    before = [positions[name].y for name in layer]
    lowest = float("-inf")
    for name in layer:
        step = BOX_HEIGHT + ROW_GAP if positions[name].node else ROW_GAP * 2
        positions[name].y = max(positions[name].y, lowest)
        lowest = positions[name].y + step
    shift = sum(positions[name].y - y for name, y in zip(layer, before, strict=True)) / max(len(layer), 1)
    for name in layer:
        positions[name].y -= shift


def _curve(start: Position, end: Position) -> str:
    x = start.layer * (BOX_WIDTH + LAYER_GAP) + MARGIN + BOX_WIDTH
    x_end = end.layer * (BOX_WIDTH + LAYER_GAP) + MARGIN
    y, y_end = start.y + BOX_HEIGHT / 2, end.y + BOX_HEIGHT / 2
    through = "" if start.node else f"M{x - BOX_WIDTH} {y:.1f}H{x}"  # a bend crosses its layer in a straight line
    middle = (x + x_end) / 2
    return f"{through}M{x} {y:.1f}C{middle:.0f} {y:.1f} {middle:.0f} {y_end:.1f} {x_end} {y_end:.1f}"


def _box(position: Position, node: Node) -> str:
    x = position.layer * (BOX_WIDTH + LAYER_GAP) + MARGIN
    name = node.name if len(node.name) <= MAX_LETTERS else f"{node.name[: MAX_LETTERS - 1]}…"
    state = "" if node.state in ("current", "removed") else f", {node.state}"
    title = escape(f"{node.kind} {node.name}{state}")
    content = (
        f'<rect x="{x}" y="{position.y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="9"/>'
        f'<text class="kind" x="{x + 13}" y="{position.y + 15:.1f}">{escape(node.kind + state)}</text>'
        f'<text class="name" x="{x + 13}" y="{position.y + 31:.1f}">{escape(name)}</text>'
    )
    style = f"node is-{node.kind}{' here' if node.is_subject else ''}{' not-current' if state else ''}"
    if node.href:
        link = f'class="{style}" href="{escape(node.href)}" aria-label="{title}"'
        return f"<a {link}><title>{title}</title>{content}</a>"
    return f'<g class="{style}"><title>{title}</title>{content}</g>'
