"""Tests of the parser of calls that ends no request."""

from __future__ import annotations

import importlib
import pkgutil

import mlx_lm.tool_parsers
import pytest

from punie_build.evaluation.tool_parser import safe

PARSERS = [module.name for module in pkgutil.iter_modules(mlx_lm.tool_parsers.__path__)]
TEXTS = (
    "", "ping", "{}", "[]", "null", "1", '"ping"', '{"name": "ping"}', '{"name": 1, "arguments": {}}',
    '{"name": "ping", "arguments": null}', '{"function": {"name": "ping"}}', '[{"name": "ping"}, 2]', "[ping()]",
    "<function=ping>", "<function=ping></function>", '{"arguments": {}}', "ping{}", "call:ping{}", "functions.ping:0",
)  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
def test_each_parser_of_mlx_lm_returns_whole_calls_or_drops_the_text(name):
    """Strange calls give calls that the server can format, or ValueError, which it handles; nothing else."""
    parser = safe(importlib.import_module(f"mlx_lm.tool_parsers.{name}").parse_tool_call)
    for text in TEXTS:
        try:
            calls = parser(text, None)
        except ValueError:
            continue
        assert all(isinstance(call["name"], str) and "arguments" in call for call in calls), (text, calls)


def test_a_call_without_arguments_has_empty_ones():
    parser = safe(importlib.import_module("mlx_lm.tool_parsers.json_tools").parse_tool_call)
    assert parser('{"name": "ping"}', None) == [{"name": "ping", "arguments": {}}]
