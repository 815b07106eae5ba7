"""Page kinds: how pages of a kind of artifact are loaded and rendered. An `ArtifactKind` names its page kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from punie_build.engine.kind import Lazy
from punie_build.reports.section import Section

Loader = Callable[..., Any]  # (project, task, lock=..., neighbors=...) -> the data of a page
MakeSection = Callable[[Any], Section | None]


class PageKind(Struct, frozen=True, kw_only=True):
    """How the pages of a kind are made: `load` reads the data of a page, and `sections` turn it into sections, in
    order.

    `data_file` is the file of the target that the page embeds for programs. With `card` a model card is written into
    the target. `markdown` returns the page as Markdown. `terminal` yields (name, text) lines for `punie-build show`.
    """

    load: Loader
    sections: Sequence[MakeSection]
    data_file: str = ""
    card: bool = False
    markdown: Callable[[Any], str] | Lazy = ""
    terminal: Callable[[Any, Any], Iterator[tuple[str, str]]] | Lazy = ""
