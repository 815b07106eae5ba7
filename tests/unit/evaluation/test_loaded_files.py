"""The files that a process has loaded: folders that are replaced, linked elsewhere or written are noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from punie_build.evaluation.loaded_files import require_unchanged, stamps_by_folder


def relink(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("other")


def relink_file(root: Path) -> None:
    (root / "arm" / "adapters.safetensors").unlink()
    (root / "arm" / "adapters.safetensors").symlink_to(root / "other" / "adapters.safetensors")


def replace(root: Path) -> None:
    (root / "arm").rename(root / "before")
    (root / "other").rename(root / "arm")


def write_equal_bytes(root: Path) -> None:
    (root / "arm" / "adapters.safetensors").write_text("one")


CHANGES = {
    "replaced": ("arm", replace, True),
    "link elsewhere": ("link", relink, True),
    "file linked elsewhere": ("arm", relink_file, True),
    "equal bytes": ("arm", write_equal_bytes, True),
    "removed": ("arm", lambda root: (root / "arm" / "adapters.safetensors").unlink(), True),
    "added": ("arm", lambda root: (root / "arm" / "more.safetensors").write_text("x"), True),
    "a note": ("arm", lambda root: (root / "arm" / "README.md").write_text("x"), False),
    "a hard link": ("arm", lambda root: os.link(root / "arm" / "adapters.safetensors", root / "stored"), False),
    "another folder": ("arm", lambda root: (root / "other" / "adapters.safetensors").write_text("x"), False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_files_than_those_of_the_digest_end_the_process(tmp_path, change):
    for folder, text in (("arm", "one"), ("other", "two")):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "adapters.safetensors"
        path.write_text(text)
        os.utime(path, ns=(10**18, 10**18))
    (tmp_path / "link").symlink_to("arm")
    name, act, refused = CHANGES[change]
    make: Callable[[Path], object] = act
    stamps = stamps_by_folder((tmp_path / name, None))
    require_unchanged(stamps, (tmp_path / name, None))
    make(tmp_path)
    if refused:
        with pytest.raises(SystemExit, match=f"{name}: its files are not those"):
            require_unchanged(stamps, (tmp_path / name,))
    else:
        require_unchanged(stamps, (tmp_path / name,))
    require_unchanged({}, (tmp_path / name,))
