"""Formats of the results of `check`: text for people, JSON for programs, JUnit for CI, annotations for GitHub."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from punie_build.engine.check import ArtifactCheck, worst
from punie_build.errors import printable
from punie_build.storage import paths

SIGNS = {"current": "ok", "unseen": "--", "stale": "STALE", "broken": "BROKEN"}
NAME = r"""[\w-]+|"[^"\n]*"|'[^'\n]*'"""
DOTTED = rf"(?:{NAME})(?:\s*\.\s*(?:{NAME}))*"
TABLE, KEY = rf"\s*\[\s*({DOTTED})\s*\]", rf"\s*({DOTTED})\s*="


def text(_root: Path, results: Sequence[ArtifactCheck]) -> str:
    """Return a paragraph for each stale or broken artifact, and a line of counts for each level."""
    lines = []
    for result in results:
        if result.state in ("stale", "broken"):
            lines.append(f"{SIGNS[result.state]:<7} {result.label}  ({result.level})")
            lines += [f"          {line}" for line in result.lines]
        elif result.state == "current":
            lines += [f"note    {result.label}: {line}" for line in result.lines]
    for level in dict.fromkeys(result.level for result in results):
        states = [result.state for result in results if result.level == level]
        counts = ", ".join(f"{states.count(state)} {WORDS[state]}" for state in SIGNS if state in states)
        lines.append(f"{level}: {counts}")
    return "\n".join(lines) or "no artifacts"


WORDS = {"current": "current", "unseen": "not here or nothing to check", "stale": "stale", "broken": "broken"}


def json(_root: Path, results: Sequence[ArtifactCheck]) -> str:
    """Return `{"state": the worst state, "findings": [...]}`."""
    report = {"state": worst(results), "findings": results}
    return msgspec.json.format(msgspec.json.encode(report), indent=1).decode()


def junit(_root: Path, results: Sequence[ArtifactCheck]) -> str:
    """Return JUnit XML with a suite for each level and a case for each artifact."""
    from punie_build.evaluation.junit import JunitCase, to_xml

    states = {"unseen": "skipped", "current": ""}
    suites: dict[str, list[JunitCase]] = {}
    for result in results:
        lines = result.lines or (("nothing to check",) if result.state == "unseen" else ())
        state = states.get(result.state, result.state)
        case = JunitCase(group=result.level, name=result.label, state=state, lines=lines)
        suites.setdefault(result.level, []).append(case)
    return to_xml("punie-build check", suites)


def github(root: Path, results: Sequence[ArtifactCheck]) -> str:
    """Return workflow commands that mark the line of the recipe in a pull request, then the text."""
    marks = []
    for result in results:
        if result.state in ("stale", "broken"):
            file, line = _position(root, result)
            properties = {"file": file, "line": str(line), "title": f"{result.label} is {result.state}"}
            arguments = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
            marks.append(f"::error {arguments}::{_escaped(chr(10).join(result.lines))}")
    return "\n".join([*marks, text(root, results)])


def _position(root: Path, result: ArtifactCheck) -> tuple[str, int]:
    """Return the recipe file and the line of the artifact's table in it; its lock where no recipe file describes it."""
    try:
        source = (root / result.file).read_text(encoding="utf-8")
    except OSError:
        return (paths.lock(result.target) if result.target else result.label), 1
    return result.file, _line(source, *result.table)


def _line(source: str, kind: str, name: str) -> int:
    """Return the line on which a table begins, as `[kind.name]` or as a key of `[kind]`; 1 if it has another form."""
    header: list[str] = []
    for number, line in enumerate(source.split("\n"), 1):
        if table := re.match(TABLE, line):
            header = _names(table[1])
            if header[:2] == [kind, name]:
                return number
        elif (key := re.match(KEY, line)) and [*header, *_names(key[1])][:2] == [kind, name]:
            return number
    return 1


def _names(dotted: str) -> list[str]:
    return [name.strip("\"'") for name in re.findall(NAME, dotted)]


def _escaped(value: str, special: str = "") -> str:
    for character in f"%\r\n{special}":
        value = value.replace(character, f"%{ord(character):02X}")
    return printable(value)


FORMATS: dict[str, Callable[[Path, Sequence[ArtifactCheck]], str]] = {
    "text": text,
    "json": json,
    "junit": junit,
    "github": github,
}
