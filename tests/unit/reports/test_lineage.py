"""The lineage graph as SVG."""

from __future__ import annotations

import re

from punie_build.reports import lineage
from punie_build.reports.lineage import Lineage, Node


def boxes(picture: str) -> dict[str, tuple[float, float]]:
    return {
        name: (float(x), float(y))
        for x, y, name in re.findall(r'<rect x="(\d+)" y="([\d.]+)".*?class="name"[^>]*>([^<]*)<', picture)
    }


def test_edges_go_from_left_to_right_and_no_two_boxes_touch():
    graph = {
        "a": (),
        "b": (),
        "c": ("a",),
        "d": ("a", "b"),
        "e": ("c", "d"),
        "f": ("a", "e"),
        "g": ("e",),
        "h": ("g", "b"),
    }
    nodes = [Node(label=name, kind="stage", name=name, sources=inputs) for name, inputs in graph.items()]
    positions = boxes(lineage.picture(nodes, "t")["picture"])
    assert set(positions) == set(graph)
    assert all(positions[name][0] > positions[source][0] for name, inputs in graph.items() for source in inputs)
    for first in graph:
        for second in graph:
            if first < second and positions[first][0] == positions[second][0]:
                assert abs(positions[first][1] - positions[second][1]) >= lineage.BOX_HEIGHT


def test_many_boxes_with_the_same_edges_are_drawn_as_one():
    runs = [Node(label=f"adapter:v@{k}", kind="adapter", name=f"v@{k}", sources=("d",)) for k in range(9)]
    source = Node(label="d", kind="mix", name="d")
    grid = Node(label="grid:v", kind="grid", name="v", sources=tuple(run.label for run in runs))
    picture = lineage.picture([source, *runs, grid], "t")["picture"]
    assert set(boxes(picture)) == {"d", "v × 9", "v"}
    assert picture.count("<path") == 2
    assert len(boxes(lineage.picture([source, *runs[:4], grid], "t")["picture"])) == 6


def test_the_neighbors_of_an_artifact_are_all_upstream_and_downstream_ones():
    graph = {"a": (), "b": ("a",), "c": ("b",), "d": ("a",), "e": ("c", "d")}
    nodes = [Node(label=name, kind="stage", name=name, sources=inputs) for name, inputs in graph.items()]
    assert [node.label for node in Lineage(nodes).neighborhood("c")] == ["a", "b", "c", "e"]
    assert [node.label for node in Lineage(nodes).neighborhood("c") if node.is_subject] == ["c"]
