"""Writer of JUnit XML, the format of test results that CI systems read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from msgspec import Struct

INVALID_IN_XML = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class JunitCase(Struct, frozen=True, kw_only=True):
    """A test case.

    `state`: "" for passed, "skipped", or the type of the failure. `lines`: the reason; the first is its message.
    """

    group: str
    name: str
    state: str = ""
    lines: tuple[str, ...] = ()


def to_xml(title: str, suites: Mapping[str, Sequence[JunitCase]]) -> str:
    """Return an XML document with a testsuite for each name and a testcase for each result."""
    root = ET.Element("testsuites", name=xml_text(title))
    for name, results in suites.items():
        skipped = sum(result.state == "skipped" for result in results)
        failures = sum(bool(result.state) for result in results) - skipped
        counts = {"tests": str(len(results)), "failures": str(failures), "skipped": str(skipped)}
        suite = ET.SubElement(root, "testsuite", {"name": xml_text(name)} | counts)
        for result in results:
            case = ET.SubElement(suite, "testcase", classname=xml_text(result.group), name=xml_text(result.name))
            reason = xml_text("\n".join(result.lines))
            if result.state == "skipped":
                ET.SubElement(case, "skipped", message=reason.replace("\n", "; "))
            elif result.state:
                ET.SubElement(case, "failure", type=result.state, message=reason.partition("\n")[0]).text = reason
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def xml_text(text: str) -> str:
    """Replace characters that XML cannot contain by `?`."""
    return INVALID_IN_XML.sub("?", text)
