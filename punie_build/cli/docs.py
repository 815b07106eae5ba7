"""The command `docs`: the documentation of this version, as text."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from pathlib import Path

from punie_build.cli import reference
from punie_build.cli.options import Command, Options
from punie_build.errors import UseError, did_you_mean
from punie_build.storage import paths

GENERATED = {"commands": reference.commands, "fields": reference.fields}
TITLES = {"commands": "Commands", "fields": "Fields of recipes"}  # to list them, nothing is generated
FENCE = re.compile(r"^(```|~~~)")


def topics() -> dict[str, Path | None]:
    """Return topic -> its file, None where the text is generated. A topic is a path without its ending."""
    folder = paths.documents()
    written = sorted(folder.rglob("*.md"), key=lambda path: (len(path.relative_to(folder).parts), path))
    return dict.fromkeys(GENERATED) | {path.relative_to(folder).with_suffix("").as_posix(): path for path in written}


def text_of(topic: str) -> str:
    """Return the Markdown of a topic, or the list of the topics in a folder of this name. Raises UseError if there is
    neither."""
    known = topics()
    if topic not in known and (inside := [each for each in known if each.startswith(f"{topic}/")]):
        return listing(inside)
    if topic not in known:
        raise UseError(f"docs {topic}: no such topic{did_you_mean(topic, known)} - `punie-build docs` lists them")
    path = known[topic]
    return GENERATED[topic]() if path is None else path.read_text(encoding="utf-8")


def listing(names: Collection[str]) -> str:
    """Return the names of topics with their titles, a line each."""
    width = max(map(len, names))
    titles = {name: TITLES.get(name) or sections(text_of(name))[0][1] for name in names}
    return "\n".join(f"{name:<{width}}  {title}" for name, title in titles.items())


def sections(text: str) -> list[tuple[int, str, list[str]]]:
    """Return (level, title, lines) of each heading of a Markdown text, with all lines below it up to the next heading
    of its level or above. Headings in code blocks do not count."""
    lines = text.splitlines()
    headings, in_code = [], False
    for number, line in enumerate(lines):
        in_code ^= bool(FENCE.match(line))
        if not in_code and (heading := re.match(r"(#+) (.*)", line)):
            headings.append((number, len(heading[1]), heading[2]))
    result = []
    for index, (start, level, title) in enumerate(headings):
        later = (number for number, other, _ in headings[index + 1 :] if other <= level)
        result.append((level, title, lines[start : next(later, len(lines))]))
    return result


def section_of(topic: str, word: str) -> str:
    """Return the sections of a topic whose titles have a word, or begin with it if any does. Raises UseError if there
    are none."""
    below = [section for section in sections(text_of(topic)) if section[0] > 1]
    wanted = word.lower()
    titles = [title for _, title, _ in below]
    matches = [title for title in titles if title.lower().startswith(wanted)]
    matches = matches or [title for title in titles if wanted in title.lower()]
    if not matches:
        raise UseError(f"docs {topic} {word}: no section has this in its title - sections: {', '.join(titles)}")
    return "\n\n".join("\n".join(lines).strip() for _, title, lines in below if title in matches)


def docs(_root: Path, options: Options) -> int:
    """Print a page of the documentation of this version, or one section of it; without a topic, list the topics."""
    if options.topic is None:
        print(listing(topics()))
    else:
        print(section_of(options.topic, options.section) if options.section else text_of(options.topic).rstrip())
    return 0


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument("topic", metavar="TOPIC", nargs="?", help="the name of a page, such as recipes")
    command.add_argument("section", metavar="SECTION", nargs="?", help="a word of the title of a section, such as mix")


COMMANDS: dict[str, Command] = {"docs": (docs, _options)}
