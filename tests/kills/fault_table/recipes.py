"""Faults of what a repository says: recipes, settings, suites, hooks and data that no parser survives; names, paths
and texts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.kills.fault_table.obstacles import OBSTACLES
from tests.kills.fault_table.row import LINES_OF_BUILD, Result, Row, output_problem, right, sentence
from tests.kills.fault_table.sandbox import RECIPE, ROW, Sandbox, command, doit
from tests.support.hostile_text import HOSTILE
from tests.unit.storage.test_project_file import BOMBS as PARSED

BOMB, DATA = "recipes, suites and hooks that no parser survives", "data that no parser survives"
NAME, PATH, TEXT = "names", "paths", "texts that control terminals and CI"
BOMBS: dict[str, str | bytes] = PARSED | {
    "zeros": bytes(1000),
    "UTF-16": "a = 1".encode("utf-16"),
    "Latin-1": b'a = "\xe9"',
    "half a table": "[stage.a",
    "twice": "[stage.a]\n[stage.a]\n",
    "a lone surrogate": 'a = "\\ud800"',
    "dates": "a = 9999-99-99",
}
THINGS = ("an empty folder", "a pipe", "a socket", "a link to nowhere", "a link to itself", "a link to a device")
PLACES = ("recipes/bomb.toml", "pyproject.toml", "few.toml")
HOOKS = {
    "unary": "-" * 100_000 + "1",
    "sums": "1" + "+1" * 100_000,
    "parentheses": "(" * 1000,
    "zero": "\0",
    "exit": "import sys; sys.exit(3)",
    "fork": "import os\nwhile True: pass",
    "no function": "x = 1",
    "other encoding": "# coding: nowhere\n",
}
NAMES = (
    "..",
    ".",
    "a/b",
    "/etc",
    "a b",
    "é",
    "e\u0301",
    "-x",
    ".x",
    "x.",
    "a..b",
    "a\nb",
    "a\tb",
    "x" * 64,
    "x" * 65,
    "con",
    "a.lock.json",
    "a.splits.lock",
    "A.LOCK.JSON",
    "*",
    "?",
    "a:b",
    "a@b",
    "%s",
    "{x}",
    "$HOME",
    "`id`",
    "\u202e",
    "0",
    "true",
    "README.md",
    "rows",
    "ROWS",
    "s1",
    "index",
    "sample",
    "nano",
    "a'b",
    'a"b',
    "a#b",
    "@",
    "~",
    "a\\b",
)
PATHS = (
    "../x",
    "/etc/passwd",
    "~/x",
    ".",
    "",
    "raw/../../x",
    "raw/../raw",
    "./raw",
    "raw/",
    "raw//rows.jsonl",
    "C:\\x",
    "raw\0",
    "nowhere",
    "raw/nowhere",
    "data",
    "data/s1",
    "data/s1/train.jsonl",
    ".punie",
    ".git",
    "recipes",
    "RAW",
    "\u202eraw",
    "raw/*.jsonl",
    "file:///etc/passwd",
    "http://127.0.0.1:1/x",
    "x" * 300,
    "x/" * 2000,
)
TEXTS = (
    "a key",
    "a name",
    "a kind",
    "a reference",
    "a type",
    "a description",
    "a path",
    "a recipe file",
    "a file of data",
    "a row",
)
CONTROL = "\x1b]0;evil\x07\x9b31m\u202e\u2066\r\n::error::evil\n::stop-commands::x\n"


def _bomb(place: str, bomb: str, box: Sandbox) -> Result:
    path = box.root / place
    path.unlink(missing_ok=True)
    if bomb in BOMBS:
        content = BOMBS[bomb]
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    else:
        OBSTACLES[bomb](path)
    for words in (("check",), ("plan",)):
        refused = sentence(box.run(command(*words), seconds=20))
        if not refused.is_held:
            return refused
    return refused


def _hook(source: str, box: Sandbox) -> Result:
    (box.root / "hook.py").write_text(source)
    suite = '[[case]]\nid = "a"\ncategory = "c"\nprompt = "x"\nchecks = [{ type = "python", function = "hook:f" }]\n'
    (box.root / "few.toml").write_text(suite)
    done = box.run(command("check"), seconds=30)
    if problem := output_problem(done):
        return problem
    done = box.run(command("suite", "check", "few"), seconds=60)
    return output_problem(done) or (sentence(done) if done.code else Result("right bytes"))


DEEP = "[" * 100_000 + "]" * 100_000
ROWS_OF_DATA: dict[str, bytes] = {
    "no byte": b"",
    "zeros": bytes(10_000),
    "half a row": ROW.format("a", "b").encode()[:40],
    "deep": DEEP.encode(),
    "a deep key": f'{{"messages": {DEEP}}}'.encode(),
    "a number of 100,000 digits": b'{"messages": ' + b"9" * 100_000 + b"}",
    "UTF-16": ROW.format("a", "b").encode("utf-16"),
    "Latin-1": ROW.format("é", "b").encode("latin-1"),
    "a lone surrogate": ROW.format("\\ud800", "b").encode(),
    "NaN": b'{"messages": NaN}',
    "a list": b"[1, 2]",
    "a text": b'"x"',
    "a byte order mark": b"\xef\xbb\xbf" + ROW.format("a", "b").encode(),
    "CR": ROW.format("a", "b").replace("\n", "\r").encode(),
    "a line of 20 MB": ROW.format("a" * 20_000_000, "b").encode(),
    "1,000,000 empty lines": b"\n" * 1_000_000,
    "twice a key": b'{"messages": [], "messages": 5}',
}
FILES_OF_DATA: dict[str, tuple[str, bytes]] = {
    "gzip of 100 MB of lines": ("x.jsonl.gz", gzip.compress(b"\n" * 100_000_000, 1)),
    "gzip that is none": ("x.jsonl.gz", b"none"),
    "gzip that is cut": ("x.jsonl.gz", gzip.compress(b"x" * 999)[:20]),
    "Parquet that is none": ("x.parquet", b"PAR1none"),
    "a ZIP that is none": ("x.zip", b"PK\3\4none"),
    "CSV of zeros": ("x.csv", bytes(1000)),
    "JSON that is deep": ("x.json", DEEP.encode()),
    "no format": ("x.exe", b"MZ"),
}


def _data(name: str, content: bytes, box: Sandbox) -> Result:
    """Add a file to the data: the build ends, with a sentence or with whole targets; without the file, as before."""
    path, memory = box.root / "raw" / name, box.root / "data/rows.splits.lock"
    split = memory.read_bytes()
    path.write_bytes(content)
    done = box.build()
    if problem := output_problem(done):
        return problem
    if done.code and not (refused := sentence(done, LINES_OF_BUILD)).is_held:
        return refused
    path.unlink()
    memory.write_bytes(split)  # which remembers the rows of the file, if it has some
    was_refused = bool(done.code)
    done = box.build()
    return output_problem(done) or right(box, done, was_refused)


def _data_thing(thing: str, box: Sandbox) -> Result:
    OBSTACLES[thing](box.root / "raw/x.jsonl")
    done = box.build()
    if problem := output_problem(done):
        return problem
    return sentence(done, LINES_OF_BUILD) if done.code else Result("right bytes")


def _added(table: str, box: Sandbox) -> Result:
    """Add a table: it is built, with all others as they were and a no-op after it, or refused in a sentence."""
    (box.root / "recipes/project.toml").write_text(f"{RECIPE}\n{table}\n")
    done = box.build()
    if problem := output_problem(done):
        return problem
    if done.code:
        return sentence(done)
    return right(box, done)


def _silent(place: str, words: tuple[str, ...], box: Sandbox) -> Result:
    text = json.dumps(CONTROL + HOSTILE)
    tables = {
        "a key": f"[stage.s]\nfrom = 's1'\n{text} = 3",
        "a name": f"[stage.{text}]\nfrom = 's1'",
        "a kind": f"[{text}.s]\nx = 1",
        "a reference": f"[stage.s]\nfrom = {text}",
        "a type": f"[stage.s]\nfrom = 's1'\nfilters = [{{ type = {text} }}]",
        "a description": f"[stage.s]\nfrom = 's1'\nfilters = []\ndescription = {text}",
        "a path": f"[dataset.s]\nsource = {{ type = 'local', path = {text} }}",
    }
    if place in tables:
        (box.root / "recipes/project.toml").write_text(f"{RECIPE}\n{tables[place]}\n")
    elif place == "a recipe file":
        (box.root / "recipes" / f"r{CONTROL}".replace("/", "")).with_suffix(".toml").write_text("x = 1")
    elif place == "a file of data":
        (box.root / "raw" / f"{CONTROL}.jsonl".replace("/", "")).write_text("no row")
    else:
        (box.root / "raw/rows.jsonl").write_text(ROW.format(json.dumps(CONTROL + HOSTILE)[1:-1], "b") * 2 + "no row\n")
    done = box.run(doit(*words[1:]) if words[0] == "doit" else command(*words))
    if (problem := output_problem(done)) and problem.outcome != "wrong":
        return problem
    if bad := {char for char in done.output if not (char.isprintable() or char in "\n\t")}:
        return Result("wrong", f"control characters {sorted(map(ascii, bad))}")
    if [line for line in done.output.splitlines() if line.lstrip().startswith(("::error::evil", "::stop-commands"))]:
        return Result("wrong", f"a command of CI: {done.output[-300:]}")
    return sentence(done) if done.code else Result("right bytes")


def _of_parsers() -> Iterator[Row]:
    for place in PLACES:
        for bomb in (*BOMBS, *THINGS):
            yield Row(BOMB, f"{place}: {bomb}", partial(_bomb, place, bomb))
    for name, source in HOOKS.items():
        yield Row(BOMB, f"hook: {name}", partial(_hook, source))


def _of_data() -> Iterator[Row]:
    for name, content in ROWS_OF_DATA.items():
        yield Row(DATA, f"JSONL: {name}", partial(_data, "x.jsonl", content))
    for name, (file, content) in FILES_OF_DATA.items():
        yield Row(DATA, name, partial(_data, file, content))
    for thing in THINGS:
        yield Row(DATA, thing, partial(_data_thing, thing))


def rows(_template: Path) -> Iterator[Row]:
    """Yield the faults of recipes, data, names, paths and texts."""
    yield from _of_parsers()
    yield from _of_data()
    for name in NAMES:
        table = f'[stage.{json.dumps(name)}]\nfrom = "rows"\nfilters = [{{ type = "min-messages" }}]'
        yield Row(NAME, repr(name), partial(_added, table))
    for path in PATHS:
        table = f'[dataset.other]\nsource = {{ type = "local", path = {json.dumps(path)} }}'
        yield Row(PATH, repr(path[:40]), partial(_added, table))
    for place in TEXTS:
        for words in (("check", "--format", "github"), ("list",), ("doit",), ("doit", "list")):
            yield Row(TEXT, f"{place}: {' '.join(words)}", partial(_silent, place, words))
