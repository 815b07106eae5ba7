"""Draw docs/imports.svg: the packages in their layers, and the imports between them.

    ./run python tests/support/imports_picture.py

The layers are those of the import-linter contract in pyproject.toml; the imports are those of grimp's graph, in which
an import inside a function counts like one at the top of a module. The text beside a layer names every import. An
arrow is left out if a path of other arrows leads to the same package. The same code gives the same bytes.
"""

from __future__ import annotations

import textwrap
import tomllib
from itertools import count
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "imports.svg"
PACKAGE = "punie_build"
WIDTH, CENTER = 900, 165
BOX, GAP, LINE = 34, 22, 17  # heights of a box, of the space below a layer, and of a line of text
LEFT_LANE, RIGHT_LANE, LANE = 22, 300, 13  # where arrows past a layer run, and the distance between two of them
TEXT, COLUMNS = 432, 66
STYLE = """
  svg { font: 13px system-ui, sans-serif; }
  .page { fill: #ffffff; } .box { fill: #e9f0fb; stroke: #3b5b92; } .name { fill: #16243d; font-weight: 600; }
  .text { fill: #4a5568; } .bold { fill: #16243d; font-weight: 600; }
  .arrow { fill: none; stroke: #64789c; stroke-width: 1.3; } .head { fill: #64789c; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181f; } .box { fill: #1f2a3d; stroke: #7f9bd1; } .name, .bold { fill: #e8eefb; }
    .text { fill: #a9b5c8; } .arrow { stroke: #8ea3c8; } .head { fill: #8ea3c8; }
  }
"""

Imports = dict[str, set[str]]  # package -> the packages that it imports


class Box:
    """The rectangle of a package: its layer, its center and its width."""

    def __init__(self, layer: int, x: float, top: float, width: float) -> None:
        self.layer, self.x, self.top, self.width = layer, x, top, width

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2


def layers() -> list[list[str]]:
    """Return the packages of each layer, from the top."""
    [contract] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [layer.split(" | ") for layer in contract["layers"]]


def imports() -> Imports:
    """Return which packages every package imports."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    packages = graph.find_children(PACKAGE)
    result: Imports = {package.rpartition(".")[2]: set() for package in packages}
    for module in graph.modules - {PACKAGE}:
        importer = module.split(".")[1]
        imported = {name.split(".")[1] for name in graph.find_modules_directly_imported_by(module) if "." in name}
        result[importer] |= imported - {importer}
    return result


def arrows(used: Imports) -> list[tuple[str, str]]:
    """Return the imports that no path of other imports replaces."""

    def reached(package: str) -> set[str]:
        return used[package].union(*(reached(other) for other in used[package]))

    return [
        (package, other)
        for package in used
        for other in used[package]
        if not any(other in reached(between) for between in used[package] - {other})
    ]


def picture() -> str:
    """Return the SVG."""
    rows, used = layers(), imports()
    order = [package for row in rows for package in row]
    boxes: dict[str, Box] = {}
    parts: list[str] = []
    top = 40.0
    for number, row in enumerate(rows):
        texts = [(package, _text(package, used[package], order)) for package in row]
        lines = [(package, line) for package, text in texts for line in text]
        height = max(BOX, LINE * len(lines))
        widths = [8 * len(package) + 16 for package in row]
        x = CENTER - (sum(widths) + 10 * (len(row) - 1)) / 2 if len(row) < 4 else 12.0
        for package, width in zip(row, widths, strict=True):
            boxes[package] = Box(number, x + width / 2, top + (height - BOX) / 2, width)
            x += width + 10
        first = top + height / 2 - LINE * (len(lines) - 1) / 2 + 4
        for index, (_, line) in enumerate(lines):
            name, _, rest = line.rpartition(": ")
            bold = f'<tspan class="bold">{name}</tspan> ' if name else ""
            parts.append(f'<text class="text" x="{TEXT}" y="{first + LINE * index:g}">{bold}{rest}</text>')
        top += height + GAP
    pairs = sorted(arrows(used), key=lambda pair: (order.index(pair[0]), order.index(pair[1])))
    lines = [*_arrows([(boxes[package], boxes[other]) for package, other in pairs], boxes)]
    for package, box in boxes.items():
        parts.append(f'<rect class="box" x="{box.left:g}" y="{box.top:g}" width="{box.width}" height="{BOX}" rx="5"/>')
        parts.append(f'<text class="name" x="{box.x:g}" y="{box.top + 22:g}" text-anchor="middle">{package}</text>')
    return _document(top, [*lines, *parts])


def _text(package: str, imported: set[str], order: list[str]) -> list[str]:
    names = " ".join(sorted(imported, key=order.index)) or "no other package"
    return textwrap.wrap(f"{package}: {names}", COLUMNS)


def _arrows(pairs: list[tuple[Box, Box]], boxes: dict[str, Box]) -> list[str]:
    """Return a line for each import: straight to the next layer, and beside the boxes to a lower one."""
    ends: dict[float, int] = {}  # lane -> the last layer that an arrow in it reaches
    result = []
    for source, target in pairs:
        start, end = source.top + BOX, target.top
        if target.layer == source.layer + 1:
            shift = max(-target.width / 3, min(target.width / 3, source.x - target.x))
            result.append(f"M{source.x:g} {start:g} L{target.x + shift:g} {end - 6:g}")
            continue
        row = [box for box in boxes.values() if box.layer == source.layer]
        if source is not row[-1]:
            lane, edge, target_edge = LEFT_LANE, source.left, target.left - 6
        else:
            lane = next(x for x in (RIGHT_LANE + LANE * n for n in count()) if ends.get(x, -1) <= source.layer)
            lane = max(lane, source.right + 6) if source.right > lane else lane
            ends[lane] = target.layer
            edge, target_edge = source.right, target.right + 6
        result.append(f"M{edge:g} {start - 10:g} H{lane:g} V{end + 10:g} H{target_edge:g}")
    return [f'<path class="arrow" d="{path}" marker-end="url(#head)"/>' for path in result]


def _document(height: float, parts: list[str]) -> str:
    marker = 'id="head" markerWidth="7" markerHeight="7" refX="1" refY="3.5" orient="auto" markerUnits="userSpaceOnUse"'
    head = '<path class="head" d="M0 0 L7 3.5 L0 7 z"/>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" role="img">',
            "<title>The packages of punie_build: each layer imports only from the layers below it</title>",
            f"<style>{STYLE}</style>",
            f"<defs><marker {marker}>{head}</marker></defs>",
            f'<rect class="page" width="{WIDTH}" height="{height:g}"/>',
            f'<text class="bold" x="12" y="22">Layers</text><text class="bold" x="{TEXT}" y="22">Imports</text>',
            *parts,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    FILE.write_text(picture())
