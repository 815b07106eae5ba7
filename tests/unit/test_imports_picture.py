"""The picture of the imports in docs/architecture.md."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from tests.support import imports_picture


def test_the_committed_picture_is_that_of_the_code():
    expected = imports_picture.picture()
    assert imports_picture.FILE.read_text() == expected, "./run python tests/support/imports_picture.py"


def test_the_picture_shows_every_package_and_stays_on_its_page():
    root = ET.fromstring(imports_picture.FILE.read_text())
    elements = {kind: [e for e in root.iter() if e.get("class") == kind] for kind in ("name", "box", "arrow")}
    assert [name.text for name in elements["name"]] == [name for row in imports_picture.layers() for name in row]
    assert all(0 < float(box.get("x", "")) < imports_picture.TEXT for box in elements["box"])
    assert len(elements["arrow"]) == len(imports_picture.arrows(imports_picture.imports()))


def test_an_arrow_is_left_out_where_a_path_of_arrows_leads_to_the_same_package():
    used = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert imports_picture.arrows(used) == [("a", "b"), ("b", "c")]
