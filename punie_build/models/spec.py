"""The base model that a recipe names: a pinned commit of the Hugging Face Hub, or a folder."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from punie_build.schema.spec import Spec


class Base(Spec, frozen=True, kw_only=True):
    """A model to start from: `hub` with a pinned `revision`, or a folder of the project by `path`.

    `nano` is built in. A revision is a commit, 40 hex digits: a branch name would change the model behind your back.
    `bits`: what its config.json must say of its quantisation; 16 says that it has none. Left out, it is not looked at.
    """

    hub: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")] | None = None
    revision: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")] | None = None
    path: str | None = None
    embedded: Literal["nano"] | None = None
    bits: Annotated[int, Meta(ge=2, le=16)] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.hub, self.path, self.embedded)) != 1:
            raise ValueError("a base is either `hub` with `revision`, or `path` - give one of them")
        if self.hub and not self.revision:
            raise ValueError(
                "`hub` needs `revision`, the commit's 40 hex digits - copy it from the model's page, under Files"
            )
        if self.revision and not self.hub:
            raise ValueError("`revision` goes with `hub` - remove it")

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return str(self.hub or self.path or self.embedded)
