"""JUnit: test results as the XML that CI systems show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from msgspec import Struct

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # what XML cannot say


class JunitCase(Struct, frozen=True, kw_only=True):
    """One test. `state`: "" passed, "skipped", else the kind of failure; `lines` say why, the first as its message."""

    group: str
    name: str
    state: str = ""
    lines: tuple[str, ...] = ()


def to_xml(title: str, suites: Mapping[str, Sequence[JunitCase]]) -> str:
    """A testsuite for each name, a testcase for each result."""
    root = ET.Element("testsuites", name=xml_text(title))
    for name, results in suites.items():
        skipped = sum(each.state == "skipped" for each in results)
        bad = sum(bool(each.state) for each in results) - skipped
        counts = {"name": xml_text(name), "tests": str(len(results)), "failures": str(bad), "skipped": str(skipped)}
        suite = ET.SubElement(root, "testsuite", counts)
        for each in results:
            case = ET.SubElement(suite, "testcase", classname=xml_text(each.group), name=xml_text(each.name))
            said = xml_text("\n".join(each.lines))
            if each.state == "skipped":
                ET.SubElement(case, "skipped", message=said.replace("\n", "; "))
            elif each.state:
                ET.SubElement(case, "failure", type=each.state, message=said.partition("\n")[0]).text = said
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def xml_text(text: str) -> str:
    return CONTROL.sub("?", text)
