from __future__ import annotations

from importlib import metadata

import pytest

from punie_build.runtime import versions


@pytest.mark.parametrize("package", ["msgspec", "doit", "punie-build", "PyYAML", "pytest"])
def test_the_version_is_the_one_that_the_metadata_of_a_package_names(package):
    try:
        expected = metadata.version(package)
    except metadata.PackageNotFoundError:
        expected = "absent"
    assert versions.version(package) == expected


def test_a_package_of_an_old_form_has_a_version_too(tmp_path, monkeypatch):
    for folder, file in (("old-1.2.egg-info", "PKG-INFO"), ("new-3.4.dist-info", "METADATA")):
        (tmp_path / folder).mkdir()
        name, version = folder.rpartition(".")[0].split("-")
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 9\n"
        (tmp_path / folder / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert [versions.version(name) for name in ("old", "new", "no-such-package")] == ["1.2", "3.4", "absent"]
