"""Models: what can be said of a fused or quantised model by its recipe and its base's files. A look is a function of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from punie_build.export import model_folder
from punie_build.export.spec import Model, unwritable
from punie_build.models import verify
from punie_build.models.architecture import Anatomy, anatomy
from punie_build.preflight.finding import Finding, Level
from punie_build.preflight.resources import Room, size


class Subject(Struct, frozen=True, kw_only=True):
    """A model that is to be made of the `base` in `folder`. `where` is its place in a recipe."""

    where: str
    spec: Model
    folder: Path
    base: Anatomy
    room: Room

    def finding(self, look: str, level: Level, field: str, what: str, advice: str) -> Finding:
        where = f"{self.where}.{field}" if field else self.where
        return Finding(look=look, level=level, where=where, what=what, advice=advice)


def gguf(it: Subject) -> Iterator[Finding]:
    """mlx-lm can write it."""
    if why := unwritable(it.spec, model_folder.model_type(it.folder)):
        what, _, advice = why.removeprefix("gguf: ").rpartition(" - ")
        yield it.finding("bits", "error", "gguf", what, advice)


def groups(it: Subject) -> Iterator[Finding]:
    """The rows of every weight are whole groups: mlx-lm leaves others as they are, in silence."""
    if it.spec.quantised:
        group = it.spec.quantisation["group_size"]
        odd = [name for name, (_, inputs) in it.base.modules.items() if inputs % group]
        if odd:
            level: Level = "error" if len(odd) == len(it.base.modules) else "warning"
            name = odd[0]
            what = f"{group}, and {name} is {it.base.modules[name][1]} wide: {len(odd)} of {len(it.base.modules)} modules of a layer stay unquantised"
            yield it.finding("bits", level, "group_size", what, "a size that divides the widths")


def bits(it: Subject) -> Iterator[Finding]:
    """What a base has lost does not come back."""
    here = verify.quantization_bits(it.folder)
    if it.spec.bits is not None and it.spec.bits > here:
        what = f"{it.spec.bits}, and its base has {here}: more room for the same weights"
        yield it.finding(
            "bits", "warning", "bits", what, "that serves an adapter which fewer bits would erase, and else nothing"
        )


def disk(it: Subject) -> Iterator[Finding]:
    """There is room for it."""
    need = (1 if it.spec.temporary else 2) * model_folder.size(it.folder, it.spec)
    if need > it.room.disk:
        what = f"needs about {size(need)} of disk, with its copy in the store, {size(it.room.disk)} are free"
        yield it.finding("disk", "error", "", what, "make room (`punie-build store gc`), or take fewer bits")


LOOKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (gguf, groups, bits, disk)


def look(where: str, spec: Model, folder: Path, room: Room) -> list[Finding]:
    """The findings of all looks; none where the base cannot be read."""
    known = anatomy(folder)
    it = Subject(where=where, spec=spec, folder=folder, base=known, room=room) if known else None
    return [finding for each in LOOKS for finding in each(it)] if it else []
