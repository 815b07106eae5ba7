"""Page kind: how the pages of one kind of artifact are made. An `ArtifactKind` names its page kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from punie_build.engine.kind import Lazy
from punie_build.reports.section import Section

Loader = Callable[..., Any]  # (project, task, lock=..., neighbors=...) -> the values of a page
MakeSection = Callable[[Any], Section | None]


class PageKind(Struct, frozen=True, kw_only=True):
    """`load` reads the values of a page and `sections` turn them into its parts, in order.

    `data_file` is the file of the target that programs find inside the page; `card` draws a model card into the target; `markdown` returns
    the page in Markdown; `terminal` yields (name, text) lines for `punie-build show`.
    """

    load: Loader
    sections: Sequence[MakeSection]
    data_file: str = ""
    card: bool = False
    markdown: Callable[[Any], str] | Lazy = ""
    terminal: Callable[[Any, Any], Iterator[tuple[str, str]]] | Lazy = ""
