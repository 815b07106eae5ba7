"""Charts: small SVG pictures as text, coloured by the page's own variables so that light and dark both work."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import floor, log10

from msgspec import Struct

WIDTH, LEFT, BOTTOM, TOP, RIGHT = 640, 52, 34, 26, 12
BINS = 24


class Line(Struct, frozen=True):
    """Points (x, y) under a name; `role` is a class of the page's style: `train`, `valid`, `rate`."""

    name: str
    role: str
    points: tuple[tuple[float, float], ...]


class Mark(Struct, frozen=True):
    """A place on a chart that has a name, such as the best validation."""

    name: str
    x: float
    y: float


class Frame(Struct, frozen=True):
    """Where the values 0..right and 0..top are on a picture of `height`."""

    right: float
    top: float
    height: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + x / self.right * (WIDTH - LEFT - RIGHT),
            self.height - BOTTOM - y / self.top * (self.height - BOTTOM - TOP),
        )

    def axes(self, title: str, x_name: str, y_name: str, rows: int = 5) -> list[str]:
        """The head of the SVG, with grid and numbers."""
        parts = [f'<svg viewBox="0 0 {WIDTH} {self.height:.0f}" role="img" aria-label="{escape(title)}">']
        for tick in ticks(self.top, rows):
            _, y = self.place(0, tick)
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>'
            )
        for tick in ticks(self.right):
            x, y = self.place(tick, 0)
            parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{_short(tick)}</text>')
        parts.append(
            f'<text class="axis" x="{WIDTH - RIGHT}" y="{self.height - 4:.0f}" text-anchor="end">{escape(x_name)}</text>'
            f'<text class="axis" x="0" y="12">{escape(y_name)}</text>'
        )
        return parts


def lines(
    series: Sequence[Line], title: str, x_name: str, y_name: str, marks: Sequence[Mark] = (), height: float = 250
) -> str:
    """A line chart with axes, as an SVG that a screen reader reads by its title; "" without points."""
    points = [point for line in series for point in line.points]
    if not points:
        return ""
    frame = Frame(max(x for x, _ in points) or 1, max(y for _, y in points) * 1.05 or 1, height)
    parts = frame.axes(title, x_name, y_name, 5 if height > 160 else 3)
    for line in series:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (frame.place(*point) for point in line.points))
        parts.append(f'<polyline class="{escape(line.role)}" points="{path}"/>')
        if line.role == "valid":
            parts += [
                f'<circle class="{escape(line.role)}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(line.name)} at {point[0]:g}: {point[1]:.3f}</title></circle>'
                for point in line.points
                for x, y in [frame.place(*point)]
            ]
    for mark in marks:
        x, y = frame.place(mark.x, mark.y)
        anchor = "end" if x > WIDTH * 0.75 else "middle" if x > WIDTH * 0.25 else "start"
        parts.append(
            f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
            f'<text class="mark" x="{x:.1f}" y="{y - 11:.1f}" text-anchor="{anchor}">{escape(mark.name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def histogram(values: Sequence[int], title: str, x_name: str) -> str:
    """How many rows are how long, in bins of equal width; "" without values."""
    if not values:
        return ""
    width = _round_up(max(values) / BINS)
    counts = [0] * (int(max(values) // width) + 1)
    for value in values:
        counts[int(value // width)] += 1
    frame = Frame(len(counts) * width, max(counts) * 1.05, 190)
    parts = frame.axes(title, x_name, "rows", 4)
    for number, count in enumerate(counts):
        if count:
            (x, y), (end, ground) = frame.place(number * width, count), frame.place((number + 1) * width, 0)
            said = f"{number * width:g} to {(number + 1) * width:g}: {count}"
            parts.append(
                f'<rect class="bar" x="{x + 0.8:.1f}" y="{y:.1f}" width="{end - x - 1.6:.1f}" height="{ground - y:.1f}"><title>{said}</title></rect>'
            )
    return "".join([*parts, "</svg>"])


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ..."""
    power = 10.0 ** floor(log10(max(value, 1)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def ticks(top: float, count: int = 5) -> list[float]:
    """About `count` round numbers from 0 up to `top`."""
    power = 10.0 ** floor(log10(top))
    step = next(step * power for step in (0.1, 0.2, 0.25, 0.5, 1, 2, 5) if top / (step * power) <= count)
    return [round(step * k, 12) for k in range(int(top / step + 1e-9) + 1)]


def _short(value: float) -> str:
    """A number on an axis: 1500000 is 1.5M."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1000 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"
