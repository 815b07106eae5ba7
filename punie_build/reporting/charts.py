"""Charts: small SVG pictures as text, coloured by the page's own variables so that light and dark both work."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from msgspec import Struct

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 250, 46, 34, 26, 12


class Line(Struct, frozen=True):
    """Points (x, y) under a name; `role` is a class of the page's style: `train`, `valid`."""

    name: str
    role: str
    points: tuple[tuple[float, float], ...]


def lines(series: Sequence[Line], title: str, x_name: str, y_name: str) -> str:
    """A line chart with axes, as an SVG that a screen reader reads by its title and description."""
    points = [point for line in series for point in line.points]
    if not points:
        return ""
    right = max(x for x, _ in points) or 1
    top = max(y for _, y in points) * 1.05 or 1

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - BOTTOM - TOP)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
    ]
    for tick in ticks(top):
        _, y = place(0, tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/><text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for tick in ticks(right):
        x, y = place(tick, 0)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{tick:g}</text>')
    parts.append(
        f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_name)}</text><text class="axis" x="{LEFT}" y="12">{escape(y_name)}</text>'
    )
    for line in series:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        parts.append(f'<polyline class="{escape(line.role)}" points="{path}"/>')
        if line.role == "valid":
            parts += [
                f'<circle class="{escape(line.role)}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(line.name)} at {point[0]:g}: {point[1]:.3f}</title></circle>'
                for point in line.points
                for x, y in [place(*point)]
            ]
    return "".join([*parts, "</svg>"])


def ticks(top: float, count: int = 5) -> list[float]:
    """About `count` round numbers from 0 up to `top`."""
    step = 10.0 ** (len(str(int(top))) - 1) if top >= 1 else 0.1
    for candidate in (step / 10, step / 5, step / 4, step / 2, step, step * 2):
        if top / candidate <= count:
            step = candidate
            break
    return [round(step * k, 6) for k in range(int(top / step) + 1)]
