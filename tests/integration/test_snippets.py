"""Every code block of the documents is checked by its language, and every command that they name exists."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml
from doit.doit_cmd import DoitMain

from punie_build.artifacts.registry import KINDS
from punie_build.cli import init, main
from punie_build.cli.registry import MODULES
from punie_build.project import Project
from punie_build.recipes.foreign import mlx_lm as foreign
from punie_build.schema.shorthand import expand
from punie_build.schema.validation import mistakes
from punie_build.training.spec import ITERS, Adapter
from tests.support.command import punie_build
from tests.support.project import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "models/nano/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECLARED = ("poem",)  # a kind that docs/architecture.md declares; test_docs.py builds it
FILES = {  # what recipes of a page read
    "carried/mine/adapter_config.json": "{}",
    "old/answers.jsonl": '{"case": "a", "content": "b"}\n',
    "world.py": "class Account:\n    pass\n",
}


class Block(NamedTuple):
    document: str
    line: int
    language: str
    text: str


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text()
    name = path.relative_to(ROOT).as_posix()
    return [
        Block(name, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


BLOCKS = [block for path in DOCUMENTS for block in blocks_of(path)]


@cache
def problem_of_command(line: str) -> str:
    """Return why a command line cannot be parsed, "" if it can."""
    words = shlex.split(line.partition(" > ")[0], comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words[:1] == ["./run"]:
        words = words[1:]
    if words[:1] == ["doit"]:
        known = {command.get_name() for command in DoitMain.DOIT_CMDS}
        return "" if not words[1:] or words[1] in known or re.match(r"-|\w+:", words[1]) else f"doit has no {words[1]}"
    if words[0] in ("punie-build", "punie"):  # docs/from-punie.md: the same commands
        output = io.StringIO()
        try:
            with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
                main.parser_of(words[1:]).parse_args(words[1:])
        except SystemExit as error:
            return output.getvalue() if error.code else ""
        return ""
    return ""  # programs of others


def check_commands(lines: list[str]) -> list[str]:
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in joined for part in re.split(r" \| | && ", line)]
    return [f"{part}: {problem}" for part in parts if part and (problem := problem_of_command(part))]


def check_console(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return check_commands([line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")])


def check_toml(text: str) -> list[str]:
    """Return mistakes in the tables of a recipe; files of other kinds are suites and settings."""
    tables: dict[str, Any] = tomllib.loads(text)
    if "case" in tables or "tools" in tables or "state" in tables or "tool" in tables:
        return []
    settings = {"store", "store_verify", "store_options"}
    parts = [{field.encode_name for field in msgspec.structs.fields(kind.spec)} for kind in KINDS.values() if kind.spec]
    if not set(tables) & set(KINDS) and any(
        set(tables) <= names for names in (settings, *parts)
    ):  # lines of a table whose head is not shown
        return []
    found = []
    for kind, entries in tables.items():
        if kind in ("defaults", *DECLARED):
            continue
        if kind not in KINDS or KINDS[kind].spec is None:
            found.append(f"{kind}: no kind of recipes")
            continue
        for name, table in entries.items():
            variant = next((each for key, each in KINDS[kind].variants.items() if key in table), KINDS[kind])
            if KINDS[kind].grid is None or not ("cells" in table or has_list(table)):  # no grid
                found += mistakes(expand(table, variant.spec), variant.spec, f"{kind}.{name}")
    return found


def has_list(table: dict[str, Any]) -> bool:
    """Return whether a field of an entry, or of a table in it, is a list of plain values."""
    return any(
        has_list(value)
        if isinstance(value, dict)
        else isinstance(value, list) and bool(value) and not any(isinstance(item, dict) for item in value)
        for value in table.values()
    )


def check_python(text: str) -> list[str]:
    compile(text, "block", "exec")
    found = []
    for module, names in re.findall(r"^from (punie_build[\w.]*) import ([\w, ]+)", text, re.MULTILINE):
        for name in names.split(", "):
            if hasattr(importlib.import_module(module), name):
                continue
            try:
                importlib.import_module(f"{module}.{name}")
            except ImportError:
                found.append(f"{module} has no {name}")
    return found


def check_json(text: str) -> list[str]:
    for line in text.splitlines():
        json.loads(line)
    return []


def check_yaml(text: str) -> list[str]:
    steps = re.findall(r"run: ([^|].*)", text)
    return [] if yaml.safe_load(text) and not check_commands(steps) else ["a step that does not exist"]


def check_gitignore(text: str) -> list[str]:
    return [] if sorted(text.split()) == sorted(init.ignored_files().split()) else ["not what `init` writes"]


def check_nothing(_text: str) -> list[str]:
    return []


CHECKS: dict[str, Callable[[str], list[str]]] = {
    "toml": check_toml,
    "python": check_python,
    "json": check_json,
    "yaml": check_yaml,
    "console": check_console,
    "sh": lambda text: check_commands(text.splitlines()),
    "gitignore": check_gitignore,
    "gitattributes": check_nothing,  # patterns of Git LFS, which is not installed everywhere
    "text": check_nothing,  # output of programs and listings
}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.document}:{block.line}")
def test_a_block_is_checked_by_its_language(block):
    assert block.language in CHECKS, "a block names its language, and each language has a check here"
    assert CHECKS[block.language](block.text) == []


def test_a_mistake_in_a_block_is_found():
    assert check_toml("[adapter.a]\nbase = 'nano'\ndata = 'x'\nitres = 3")
    assert check_toml("learning_rat = 3")
    assert check_python("from punie_build.conversations import nothing_of_this_name")
    assert check_console("$ punie-build plna")
    assert check_console("$ punie-build check --gat --nothing")
    assert check_console("$ doit nothing")
    assert check_gitignore(".punie")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_that_a_document_names_exists(path):
    """In running text a command may be named without its arguments."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for command in re.findall(r"`punie-build ([^`]+)`", text):
        words = shlex.split(command.replace("\n", " ").replace("'", ""))
        words = words[2:] if words[0] == "-C" else words
        if words[0].startswith("-") or not re.fullmatch(r"[a-z]+", words[0]):
            continue
        assert words[0] in MODULES, command
        module = importlib.import_module(f"punie_build.cli.{MODULES[words[0]][0]}")
        name = " ".join(words[:2]) if " ".join(words[:2]) in module.COMMANDS else words[0]
        names = [each for each in module.COMMANDS if each == name or each.startswith(f"{name} ")]
        assert names, command
        known = "\n".join(_help_of(each) for each in names)
        for option in (word.partition("=")[0] for word in words[1:] if word.startswith("--")):
            assert option in known, f"{command}: no option {option}"


@cache
def _help_of(name: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main.parser_of(name.split()).parse_args([*name.split(), "--help"])
    return output.getvalue() + " --debug --help"


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/tutorial.md", *(f"docs/how-to/{path.name}" for path in (ROOT / "docs/how-to").glob("*"))],
)
def test_the_recipes_of_a_page_form_a_project(tmp_path, name):
    blocks = [block for block in blocks_of(ROOT / name) if block.language in ("toml", "python")]
    for number, block in enumerate(blocks):
        first = block.text.split("\n")[0].removeprefix("# ")
        path = tmp_path / (first if re.fullmatch(r"[\w/-]+\.(toml|py)", first) else f"recipes/{number}.toml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)
    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    if any(block.text.startswith("# recipes") or name == "README.md" for block in blocks):
        assert Project.load(tmp_path).tasks
    else:
        assert "publish" in name or "how-to" in name


@pytest.mark.parametrize("name", ["docs/tutorial.md", "docs/how-to/from-scripts.md"])
def test_a_program_of_a_page_prints_sixty_rows(tmp_path, name):
    [block] = [block for block in blocks_of(ROOT / name) if block.language == "python"]
    (tmp_path / "rows.py").write_text(block.text)
    process = subprocess.run([sys.executable, "rows.py"], cwd=tmp_path, capture_output=True, text=True)
    assert process.stderr == ""
    (tmp_path / "rows.jsonl").write_text(process.stdout)
    assert punie_build(tmp_path, "dataset", "validate", "rows.jsonl").stdout == "60 rows, all of them readable\n"


def test_the_table_of_defaults_is_that_of_mlx_lm_and_of_an_adapter():
    import mlx_lm.lora

    text = (ROOT / "docs/how-to/from-mlx-lm.md").read_text()
    ours = Adapter(base="nano", data="x")
    rows = dict(re.findall(r"^\| `\w+` \| `(\w+)` \| (.+?) \|$", text, re.MULTILINE))
    shown = {str(True): "true", str(False): "false", str(ITERS): str(ITERS)}
    for name in (*mlx_lm_names(), "optimizer"):
        value = getattr(ours, name)
        own = ITERS if name == "iters" else value.__struct_config__.tag if name == "optimizer" else value
        theirs = mlx_lm.lora.CONFIG_DEFAULTS[name]
        cells = [shown.get(str(each), f"`{each}`" if isinstance(each, str) else str(each)) for each in (theirs, own)]
        assert rows[name].replace(" (all)", "").split(" | ") == cells, name
    assert {*rows} == {*mlx_lm_names(), "optimizer"}


def mlx_lm_names() -> tuple[str, ...]:
    return (*foreign.SAME, "grad_checkpoint")


def test_the_messages_of_the_troubleshooting_page_are_those_of_the_code():
    text = (ROOT / "docs/troubleshooting.md").read_text()
    code = "".join(path.read_text() for path in sorted((ROOT / "punie_build").rglob("*.py")))
    code = re.sub(r'"\n\s*f?"', "", code)  # texts that go on in the next line
    titles = re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    assert len(titles) > 20
    for title in titles:
        for part in filter(str.strip, title.split("...")):
            assert part.strip(" :'[]") in code, title
