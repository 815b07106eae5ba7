"""The detector library's own vectors, for the figures of `secrets` in `filters.py`."""

from __future__ import annotations

import ast
import random
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from punie_build.data.filters.secret import Secret, find_secrets

KINDS: tuple[Secret, ...] = ("private-key", "token", "password")


def vectors(tests: Path) -> tuple[list[str], list[str]]:
    """Return (secrets, harmless texts) of the parametrized tests in a folder tests/plugins of bc-detect-secrets."""
    for name in ("responses", "testing", "testing.mocks"):
        sys.modules.setdefault(name, ModuleType(name))
    sys.modules["testing.mocks"].mock_named_temporary_file = None  # type: ignore[attr-defined]
    sys.modules["responses"].activate = lambda test: test  # type: ignore[attr-defined]
    found: tuple[list[str], list[str]] = ([], [])
    for path in sorted(tests.glob("*_test.py")):
        if path.stem in ("high_entropy_strings_test", "base_test"):
            continue
        source, names = path.read_text(), dict[str, Any](__name__="vectors")
        exec(compile(source, str(path), "exec"), names)  # noqa: S102 - the library's own tests
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parametrize":
                for text, secret in _cases(node, names):
                    found[not secret].append(text)
    return found


def _cases(node: ast.Call, names: dict[str, Any]) -> list[tuple[str, bool]]:
    try:
        codes = [compile(ast.Expression(part), "x", "eval") for part in node.args[:2]]
        columns, rows = (eval(code, names) for code in codes)  # noqa: S307
    except NameError:
        return []
    if not isinstance(columns, str) or columns.replace(" ", "").split(",")[1:] not in (["should_flag"], ["is_formal"]):
        return []
    return [(text, bool(flag)) for text, flag in rows]


def secrets(tests: Path) -> None:
    """Print how many secrets are found, and how many harmless texts are flagged."""
    secret, harmless = vectors(tests)
    hits, false = (sum(any(True for _ in find_secrets(text, KINDS)) for text in texts) for texts in (secret, harmless))
    print(f"vectors of bc-detect-secrets: {hits} of {len(secret)} found; {false} of {len(harmless)} harmless flagged")


def shapes(count: int = 20) -> None:
    """Print how many shapes of real tokens are found and replaced, each with `count` random values."""
    from tests.unit.data.test_secret import ALPHABETS, TOKENS

    missed: list[str] = []
    for shape in TOKENS:
        choose = random.Random(shape).choices
        values = [
            re.sub(r"\{([ahdu])(\d+)\}", lambda m: "".join(choose(ALPHABETS[m[1]], k=int(m[2]))), shape)  # noqa: B023
            for _ in range(count)
        ]
        if not all(any(True for _ in find_secrets(f"use {value} now", ("token",))) for value in values):
            missed.append(shape)
    print(f"shapes of real tokens: {len(TOKENS) - len(missed)} of {len(TOKENS)} found in {count} values each")
    for shape in missed:
        print(f"    {shape}")
