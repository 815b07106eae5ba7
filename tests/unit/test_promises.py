from __future__ import annotations

import ast

from tests.kills.promises import ROOT, promises


def test_every_promise_names_a_test_that_exists():
    rows = promises()
    table = [line for line in (ROOT / "docs/promises.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(table) - 1  # the head
    for promise, file, name in rows:
        functions = {node.name for node in ast.parse((ROOT / file).read_text()).body if hasattr(node, "name")}
        assert name in functions, promise
