"""Card notes: what people write into a model card, between two lines that mark it. They survive every drawing of the
card.

A card that punie-build did not draw was written by a person, and counts as notes as a whole.
"""

from __future__ import annotations

import re
from pathlib import Path

from punie_build.storage import paths, project_file

BEGIN = "<!-- notes: what stands between these two lines is yours and is kept; the rest is drawn anew -->"
END = "<!-- end of notes -->"
DRAWN = "<!-- drawn by punie-build -->"
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def extract(text: str) -> str:
    """Return the notes in the text of a card; "" where there are none."""
    begin, end = text.find(BEGIN), text.rfind(END)
    if begin < 0:
        return "" if DRAWN in text else _FRONT_MATTER.sub("", text).strip()
    return text[begin + len(BEGIN) : end if end > begin else None].strip()


def framed(notes: str) -> str:
    """Return notes between the two lines that mark them."""
    return f"{BEGIN}\n{notes}\n{END}\n" if notes else f"{BEGIN}\n{END}\n"


def read(target: str, folder: Path) -> str:
    """Return the notes in the card of a target that lies in a folder."""
    if paths.CARD not in paths.views(target):
        return ""
    try:
        return extract(project_file.read(folder / paths.CARD).decode(errors="replace"))
    except OSError:
        return ""


def write(notes: str, folder: Path) -> None:
    """Write a card that holds only the notes, if there are any: the rest of the old card described other weights."""
    if notes:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / paths.CARD).write_text(framed(notes), encoding="utf-8")


def carry(target: str, old: Path, new: Path) -> None:
    """Carry the notes of a target into the folder that takes its place."""
    if paths.CARD in paths.views(target):
        (new / paths.CARD).unlink(missing_ok=True)
        write(read(target, old), new)
