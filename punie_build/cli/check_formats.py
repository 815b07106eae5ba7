"""Formats: the findings of a check as text for people, JSON for programs, JUnit for CI, annotations for GitHub."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from punie_build.engine.check import ArtifactCheck, worst
from punie_build.evaluation.junit import JunitCase, to_xml
from punie_build.storage import paths

SIGNS = {"current": "ok", "unseen": "--", "stale": "STALE", "broken": "BROKEN"}
NAME = r"""[\w-]+|"[^"\n]*"|'[^'\n]*'"""
DOTTED = rf"(?:{NAME})(?:\s*\.\s*(?:{NAME}))*"
TABLE, KEY = re.compile(rf"\s*\[\s*({DOTTED})\s*\]"), re.compile(rf"\s*({DOTTED})\s*=")


def text(_root: Path, found: Sequence[ArtifactCheck]) -> str:
    """What is not as it should be, artifact by artifact, and one line of counts for each level."""
    lines = []
    for finding in found:
        if finding.state in ("stale", "broken"):
            lines.append(f"{SIGNS[finding.state]:<7} {finding.label}  ({finding.level})")
            lines += [f"          {line}" for line in finding.lines]
    for level in dict.fromkeys(finding.level for finding in found):
        states = [finding.state for finding in found if finding.level == level]
        counts = ", ".join(f"{states.count(state)} {WORDS[state]}" for state in SIGNS if state in states)
        lines.append(f"{level}: {counts}")
    return "\n".join(lines) or "no artifacts"


WORDS = {"current": "current", "unseen": "not here or nothing to check", "stale": "stale", "broken": "broken"}


def json(_root: Path, found: Sequence[ArtifactCheck]) -> str:
    """`{"state": the worst, "findings": [...]}`."""
    said = {"state": worst(found), "findings": found}
    return msgspec.json.format(msgspec.json.encode(said), indent=1).decode()


def junit(_root: Path, found: Sequence[ArtifactCheck]) -> str:
    """A suite for each level, a case for each artifact."""
    states = {"unseen": "skipped", "current": ""}
    suites: dict[str, list[JunitCase]] = {}
    for finding in found:
        lines = finding.lines or (("nothing to check",) if finding.state == "unseen" else ())
        state = states.get(finding.state, finding.state)
        result = JunitCase(group=finding.level, name=finding.label, state=state, lines=lines)
        suites.setdefault(finding.level, []).append(result)
    return to_xml("punie-build check", suites)


def github(root: Path, found: Sequence[ArtifactCheck]) -> str:
    """Workflow commands that mark the recipe's own line in a pull request, then the text."""
    marks = []
    for finding in found:
        if finding.state in ("stale", "broken"):
            file, line = _position(root, finding)
            place = {"file": file, "line": str(line), "title": f"{finding.label} is {finding.state}"}
            properties = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in place.items())
            marks.append(f"::error {properties}::{_escaped(chr(10).join(finding.lines))}")
    return "\n".join([*marks, text(root, found)])


def _position(root: Path, result: ArtifactCheck) -> tuple[str, int]:
    """Return the recipe file and the line of the artifact's table in it; its lock where no recipe file describes it."""
    try:
        source = (root / result.file).read_text(encoding="utf-8")
    except OSError:
        return (paths.lock(result.target) if result.target else result.label), 1
    return result.file, _line(source, *result.table)


def _line(source: str, kind: str, name: str) -> int:
    """The line on which a table begins, as `[kind.name]` or as a key of `[kind]`; 1 where it is written in another way."""
    above: list[str] = []
    for number, line in enumerate(source.split("\n"), 1):
        if table := TABLE.match(line):
            above = _names(table[1])
            if above[:2] == [kind, name]:
                return number
        elif (key := KEY.match(line)) and [*above, *_names(key[1])][:2] == [kind, name]:
            return number
    return 1


def _names(dotted: str) -> list[str]:
    return [name.strip("\"'") for name in re.findall(NAME, dotted)]


def _escaped(value: str, more: str = "") -> str:
    for sign in f"%\r\n{more}":
        value = value.replace(sign, f"%{ord(sign):02X}")
    return value


FORMATS: dict[str, Callable[[Path, Sequence[ArtifactCheck]], str]] = {
    "text": text,
    "json": json,
    "junit": junit,
    "github": github,
}
