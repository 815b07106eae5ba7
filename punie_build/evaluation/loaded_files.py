"""Proof that a process has loaded the files whose digests were taken, and not others under the same name: a folder may
be replaced, and be back before the process ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from punie_build.schema.spec import digest
from punie_build.storage import digests


def stamps_by_folder(folders: Iterable[Path | str | None]) -> dict[str, str]:
    """Return a digest of the stamps of the files in each folder."""
    return {str(folder): digest(digests.stamps(Path(folder))) for folder in folders if folder}


def require_unchanged(stamps: Mapping[str, str], folders: Iterable[Path | str | None]) -> None:
    """End the process if the files of a folder have other stamps than `stamps` says. Folders without any are not
    compared."""
    for folder, stamp in stamps_by_folder(folders).items():
        if stamps.get(folder, stamp) != stamp:
            raise SystemExit(
                f"punie: {folder}: its files are not those whose digest was taken - wait until the program that "
                "writes there has ended, and build again"
            )
