"""Charts as SVG text. Colors are the CSS variables of the page, so that charts follow its light and dark schemes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import floor, log10

from msgspec import Struct

WIDTH, LEFT, BOTTOM, TOP, RIGHT = 640, 52, 34, 26, 12
BINS = 24
DENSE_HEIGHT = 160  # charts up to this height have fewer grid lines


class Line(Struct, frozen=True):
    """A named series of points (x, y); `role` is its CSS class: `train`, `valid`, `rate`, or `l0` to
    `l7` for one of several trainings."""

    name: str
    role: str
    points: tuple[tuple[float, float], ...]


class Mark(Struct, frozen=True):
    """A labeled point of a chart, such as the best validation."""

    name: str
    x: float
    y: float


class Frame(Struct, frozen=True):
    """Maps the values 0..right and bottom..top to the pixels of a chart of `height`."""

    right: float
    top: float
    height: float
    bottom: float = 0.0

    def to_pixels(self, x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + x / self.right * (WIDTH - LEFT - RIGHT),
            self.height - BOTTOM - (y - self.bottom) / (self.top - self.bottom) * (self.height - BOTTOM - TOP),
        )

    def axes(self, title: str, x_name: str, y_name: str, rows: int = 5) -> list[str]:
        """Return the opening tag of the SVG, the grid lines, and the labels of the axes."""
        parts = [f'<svg viewBox="0 0 {WIDTH} {self.height:.0f}" role="img" aria-label="{escape(title)}">']
        low_ticks = [-tick for tick in ticks(-self.bottom, rows) if tick] if self.bottom else []
        for tick in [*low_ticks, *(ticks(self.top, rows) if self.top else [0.0])]:
            _, y = self.to_pixels(0, tick)
            label = f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_tick_label(tick)}</text>'
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>{label}')
        for tick in ticks(self.right):
            x, y = self.to_pixels(tick, self.bottom)
            position = f'x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle"'
            parts.append(f'<text class="tick" {position}>{_tick_label(tick)}</text>')
        position = f'x="{WIDTH - RIGHT}" y="{self.height - 4:.0f}" text-anchor="end"'
        parts.append(
            f'<text class="axis" {position}>{escape(x_name)}</text>'
            f'<text class="axis" x="0" y="12">{escape(y_name)}</text>'
        )
        return parts


def line_chart(
    series: Sequence[Line], title: str, x_name: str, y_name: str, marks: Sequence[Mark] = (), height: float = 250
) -> str:
    """Return a line chart as SVG; a screen reader reads its title. Return "" if no series has a point."""
    points = [point for line in series for point in line.points]
    if not points:
        return ""
    low, high = min(0.0, *(y for _, y in points)), max(0.0, *(y for _, y in points))
    frame = Frame(max(x for x, _ in points) or 1, high * 1.05 or (0.0 if low else 1.0), height, low * 1.05)
    parts = frame.axes(title, x_name, y_name, 5 if height > DENSE_HEIGHT else 3)
    for line in series:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (frame.to_pixels(*point) for point in line.points))
        parts.append(f'<polyline class="{escape(line.role)}" points="{path}"/>')
        if line.role not in ("train", "rate"):
            parts += [_dot(line, frame, point) for point in line.points]
    return "".join([*parts, *(_mark(frame, mark) for mark in marks), "</svg>"])


def _dot(line: Line, frame: Frame, point: tuple[float, float]) -> str:
    x, y = frame.to_pixels(*point)
    tooltip = f"<title>{escape(line.name)} at {point[0]:g}: {point[1]:.3f}</title>"
    return f'<circle class="{escape(line.role)}" cx="{x:.1f}" cy="{y:.1f}" r="3">{tooltip}</circle>'


def _mark(frame: Frame, mark: Mark) -> str:
    x, y = frame.to_pixels(mark.x, mark.y)
    anchor = "end" if x > WIDTH * 0.75 else "middle" if x > WIDTH * 0.25 else "start"
    position = f'x="{x:.1f}" y="{y - 11:.1f}" text-anchor="{anchor}"'
    return (
        f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
        f'<text class="mark" {position}>{escape(mark.name)}</text>'
    )


def histogram(values: Sequence[int], title: str, x_name: str) -> str:
    """Return a histogram with bins of equal width as SVG; "" without values."""
    if not values:
        return ""
    width = _round_up(max(values) / BINS)
    counts = [0] * (int(max(values) // width) + 1)
    for value in values:
        counts[int(value // width)] += 1
    frame = Frame(len(counts) * width, max(counts) * 1.05, 190)
    bars = [_bar(frame, index * width, width, count) for index, count in enumerate(counts) if count]
    return "".join([*frame.axes(title, x_name, "rows", 4), *bars, "</svg>"])


def _bar(frame: Frame, start: float, width: float, count: int) -> str:
    (x, y), (end, bottom) = frame.to_pixels(start, count), frame.to_pixels(start + width, 0)
    tooltip = f"<title>{start:g} to {start + width:g}: {count}</title>"
    size = f'width="{end - x - 1.6:.1f}" height="{bottom - y:.1f}"'
    return f'<rect class="bar" x="{x + 0.8:.1f}" y="{y:.1f}" {size}>{tooltip}</rect>'


def _round_up(value: float) -> float:
    """Round up to the next of 1, 2, 5, 10, 20, 50 ..."""
    power = 10.0 ** floor(log10(max(value, 1)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def ticks(top: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from 0 up to `top`."""
    power = 10.0 ** floor(log10(top))
    step = next(step * power for step in (0.1, 0.2, 0.25, 0.5, 1, 2, 5) if top / (step * power) <= count)
    return [round(step * k, 12) for k in range(int(top / step + 1e-9) + 1)]


def _tick_label(value: float) -> str:
    """Shorten a number of an axis: 1500000 is 1.5M."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1000 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"
