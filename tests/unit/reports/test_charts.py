"""Charts as SVG text."""

from __future__ import annotations

import re

from punie_build.reports import charts


def test_a_line_chart_has_axes_a_title_and_its_points():
    line = charts.Line("v", "valid", ((0, 2.0), (300, 0.4)))
    picture = charts.line_chart([line], "Loss <of> v", "batch", "loss", [charts.Mark("best <1>", 300, 0.4)])
    assert "Loss &lt;of&gt; v" in picture
    assert "best &lt;1&gt;" in picture
    assert picture.count('<circle class="valid"') == 2
    assert charts.ticks(300) == [0, 100, 200, 300]
    assert charts.ticks(2.1) == [0, 0.5, 1.0, 1.5, 2.0]
    assert charts.ticks(0.00105, 3) == [0, 0.0005, 0.001]
    assert charts.line_chart([], "t", "x", "y") == charts.histogram([], "t", "x") == ""


def test_a_histogram_counts_every_value_once():
    values = [*range(100), 640, 640]
    picture = charts.histogram(values, "t", "tokens")
    assert sum(int(count) for count in re.findall(r": (\d+)</title>", picture)) == len(values)
