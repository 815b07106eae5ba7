"""The base model that a recipe names: a pinned commit of the Hugging Face Hub, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from punie_build.schema.spec import Spec

MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")  # the files that identify a base


class Base(Spec, frozen=True, kw_only=True):
    """A model to start from: `hub` with a pinned `revision`, or a folder of the project by `path`, or a `gguf` file.

    `nano` is built in. A revision is a commit of 40 hex digits, because a branch name may point to another model
    tomorrow. `bits` must match the quantization in config.json, 16 for none; by default it is not checked. `license`
    and `base_model`, the model of the Hub that a folder was made from, go into the cards of what is trained on it; by
    default they are those of the README.md in its folder.
    """

    hub: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")] | None = None
    revision: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")] | None = None
    path: str | None = None
    gguf: str | None = None
    embedded: Literal["nano"] | None = None
    bits: Annotated[int, Meta(ge=2, le=16)] | None = None
    license: str = ""
    base_model: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.hub, self.path, self.gguf, self.embedded)) != 1:
            raise ValueError("a base is either `hub` with `revision`, or `path`, or `gguf` - give one of them")
        if self.hub and not self.revision:
            raise ValueError("`hub` needs `revision`, the commit's 40 hex digits - `punie-build pin NAME` writes it")
        if self.revision and not self.hub:
            raise ValueError("`revision` goes with `hub` - remove it")

    def identity(self, root: Path, pointers: bool = False) -> str:
        """Return a text that identifies weights and tokenizer, `absent` without weights. See `ExternalInput`."""
        from punie_build.models import locate

        return locate.base_digest(root, self, pointers)

    def present(self, root: Path) -> Path | None:
        """Return its folder if it lies in this project or in the package; a Hub base is not looked for."""
        from punie_build.models import locate

        return locate.local_folder(root, self)

    def locate(self, root: Path) -> Path:
        """Return its folder; a Hub base is downloaded once, at its pinned revision. Raises ModelError."""
        from punie_build.models import locate

        return locate.locate(root, self)

    def dependency(self, name: str, identity: str) -> dict[str, Any]:
        """Return a SLSA resource descriptor: a Hub base by its commit as a package URL, a folder by its digest."""
        if "@" in identity:
            repo, _, commit = identity.partition("@")
            return {"name": name, "uri": f"pkg:huggingface/{repo}@{commit}", "digest": {"gitCommit": commit}}
        if self.gguf:
            return {"name": name, "digest": {"sha256": identity.partition(" ")[0]}}
        return {"name": name, "digest": {"dirHash": identity}, "annotations": {"files": [*MODEL_FILES]}}

    @property
    def name(self) -> str:
        """The name of the base in messages."""
        return str(self.hub or self.path or self.gguf or self.embedded)
