"""The README of the package: links to files of the repository are full URLs, as a package index needs them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")


def with_urls(text: str, repository: str) -> str:
    """Return Markdown whose relative links lead to the repository, and whose pictures to the raw files in it."""

    def link(match: re.Match[str]) -> str:
        picture, title, target = match.groups()
        return f"{picture}[{title}]({repository}/{'raw' if picture else 'blob'}/main/{target})"

    return LINK.sub(link, text)


class ReadmeHook(MetadataHookInterface):
    """Sets the readme of the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README with full URLs to the metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_urls(text, metadata["urls"]["Repository"]),
        }
