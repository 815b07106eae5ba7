"""Formats: the findings of a check as text for people, JSON for programs, JUnit for CI, annotations for GitHub."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

from punie_build.checking import Finding, worst

SIGNS = {"current": "ok", "unseen": "--", "stale": "STALE", "broken": "BROKEN"}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # what XML cannot say


def text(_root: Path, found: Sequence[Finding]) -> str:
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


def json(_root: Path, found: Sequence[Finding]) -> str:
    """`{"state": the worst, "findings": [...]}`."""
    said = {"state": worst(found), "findings": found}
    return msgspec.json.format(msgspec.json.encode(said), indent=1).decode()


def junit(_root: Path, found: Sequence[Finding]) -> str:
    """A suite for each level, a case for each artifact."""
    suites = ET.Element("testsuites", name="punie-build check")
    for level in dict.fromkeys(finding.level for finding in found):
        some = [finding for finding in found if finding.level == level]
        bad = sum(finding.state in ("stale", "broken") for finding in some)
        skipped = sum(finding.state == "unseen" for finding in some)
        counts = {"name": level, "tests": str(len(some)), "failures": str(bad), "skipped": str(skipped)}
        suite = ET.SubElement(suites, "testsuite", counts)
        for finding in some:
            case = ET.SubElement(suite, "testcase", classname=level, name=CONTROL.sub("?", finding.label))
            if finding.state in ("stale", "broken"):
                lines = CONTROL.sub("?", "\n".join(finding.lines))
                ET.SubElement(case, "failure", type=finding.state, message=lines.partition("\n")[0]).text = lines
            elif finding.state == "unseen":
                ET.SubElement(case, "skipped")
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True)


def github(root: Path, found: Sequence[Finding]) -> str:
    """Workflow commands that mark the recipe's own line in a pull request, then the text."""
    marks = []
    for finding in found:
        if finding.state in ("stale", "broken"):
            file, line = _place(root, finding)
            place = {"file": file, "line": str(line), "title": f"{finding.label} is {finding.state}"}
            properties = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in place.items() if value)
            marks.append(f"::error {properties}::{_escaped(chr(10).join(finding.lines))}")
    return "\n".join([*marks, text(root, found)])


def _place(root: Path, finding: Finding) -> tuple[str, int]:
    """The recipe file and the line of the artifact's table in it; the lock's own path where no recipe speaks of it."""
    kind, _, name = finding.label.partition(":")
    try:
        lines = (root / finding.file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return finding.file or finding.label, 1
    table = re.compile(rf"""\s*\[\s*{re.escape(kind)}\s*\.\s*["']?{re.escape(name)}["']?\s*[\].]""")
    return finding.file, next((number for number, line in enumerate(lines, 1) if table.match(line)), 1)


def _escaped(value: str, more: str = "") -> str:
    for sign in f"%\r\n{more}":
        value = value.replace(sign, f"%{ord(sign):02X}")
    return value


FORMATS: dict[str, Callable[[Path, Sequence[Finding]], str]] = {
    "text": text,
    "json": json,
    "junit": junit,
    "github": github,
}
