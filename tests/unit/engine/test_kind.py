from __future__ import annotations

from punie_build.engine import kind
from punie_build.engine.kind import ArtifactKind, resolve, symbol


def test_a_target_has_the_folder_the_name_and_the_suffix():
    assert ArtifactKind(name="note", folder="notes").target("a") == "notes/a"
    assert ArtifactKind(name="note", folder="notes", suffix="-grid").target("a") == "notes/a-grid"


def test_a_kind_without_a_folder_is_not_built():
    assert ArtifactKind(name="note", folder="notes").is_built
    assert not ArtifactKind(name="suite").is_built


def test_metrics_are_described_by_a_table_of_formats_without_the_missing_ones():
    note = ArtifactKind(name="note", summary=(("rows", "{:g} rows"), ("share", "{:.0%}"), ("loss", "loss {:g}")))
    assert note.describe({"share": 0.5, "rows": 3.0}) == "3 rows, 50%"
    assert note.describe({}) == ""


def test_metrics_may_be_described_by_a_function():
    assert ArtifactKind(name="note", summary=lambda metrics: f"{len(metrics)} metrics").describe({"a": 1.0}) == (
        "1 metrics"
    )


def test_a_lazy_reference_is_imported_and_other_values_are_returned_as_they_are():
    assert resolve("punie_build.engine.kind:resolve") is resolve
    assert resolve(resolve) is resolve
    assert resolve(None) is None


def test_the_symbol_of_a_function_is_the_same_imported_or_not():
    expected = ("punie_build.engine.kind", "resolve")
    assert symbol("punie_build.engine.kind:resolve") == symbol(kind.resolve) == expected
