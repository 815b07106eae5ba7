"""JUnit: test results as the XML that CI systems show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from msgspec import Struct

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # what XML cannot say


class Result(Struct, frozen=True, kw_only=True):
    """One test. `state`: "" passed, "skipped", else the kind of failure; `lines` say why, the first as its message."""

    group: str
    name: str
    state: str = ""
    lines: tuple[str, ...] = ()


def xml(title: str, suites: Mapping[str, Sequence[Result]]) -> str:
    """A testsuite for each name, a testcase for each result."""
    root = ET.Element("testsuites", name=plain(title))
    for name, results in suites.items():
        skipped = sum(each.state == "skipped" for each in results)
        bad = sum(bool(each.state) for each in results) - skipped
        counts = {"name": plain(name), "tests": str(len(results)), "failures": str(bad), "skipped": str(skipped)}
        suite = ET.SubElement(root, "testsuite", counts)
        for each in results:
            case = ET.SubElement(suite, "testcase", classname=plain(each.group), name=plain(each.name))
            said = plain("\n".join(each.lines))
            if each.state == "skipped":
                ET.SubElement(case, "skipped", message=said.replace("\n", "; "))
            elif each.state:
                ET.SubElement(case, "failure", type=each.state, message=said.partition("\n")[0]).text = said
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def plain(text: str) -> str:
    return CONTROL.sub("?", text)
