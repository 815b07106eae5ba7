"""The command `docs`: topics, sections, generated references, and messages that refer to them."""

from __future__ import annotations

import ast
import re

import msgspec
import pytest

from punie_build.artifacts.registry import KINDS
from punie_build.cli import docs, reference
from punie_build.errors import UseError
from punie_build.storage import paths
from tests.support.command import punie_build
from tests.support.project import ROOT
from tests.unit.cli.test_main import COMMANDS


def test_every_document_is_a_topic_with_its_title(tmp_path):
    lines = punie_build(tmp_path, "docs").stdout.splitlines()
    listed = dict(line.split(maxsplit=1) for line in lines)
    written = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert set(listed) == {"commands", "fields"} | written
    assert listed["recipes"] == "Recipes"
    assert {name: docs.sections(docs.text_of(name))[0][1] for name in docs.GENERATED} == docs.TITLES
    assert all(listed.values())


def test_a_topic_prints_its_page_and_a_section_of_it(tmp_path):
    assert punie_build(tmp_path, "docs", "gates").stdout == (ROOT / "docs/gates.md").read_text()
    section = punie_build(tmp_path, "docs", "recipes", "mix").stdout
    assert section.startswith("## mix\n\n```toml\n")
    assert "\n## adapter" not in section


def test_a_folder_of_topics_prints_those_in_it(tmp_path):
    lines = punie_build(tmp_path, "docs", "how-to").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [topic for topic in docs.topics() if topic.startswith("how-to/")]


def test_a_heading_in_a_code_block_is_no_section():
    text = "# A\n\n## B\n```toml\n# suites/mine.toml\n## C\n```\n### D\nx\n## E\n"
    assert [title for _, title, _ in docs.sections(text)] == ["A", "B", "D", "E"]
    assert docs.sections(text)[1][2][-1] == "x"


def test_an_unknown_topic_or_section_names_those_there_are(tmp_path):
    process = punie_build(tmp_path, "docs", "recipe")
    assert process.returncode == 2
    assert "did you mean 'recipes'?" in process.stderr
    with pytest.raises(UseError, match="sections: The preflight"):
        docs.section_of("gates", "xyz")


def test_the_reference_of_commands_has_every_command_and_every_option():
    text = reference.commands()
    for name, (function, _) in COMMANDS.items():
        [section] = [part for part in text.split("\n## ") if part.startswith(f"{name}\n")]
        assert (function.__doc__ or "").splitlines()[0] in section
        usage = next(line for line in section.splitlines() if line.startswith("`punie-build"))
        options = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", usage))
        assert all(f"`{option}" in section.replace(usage, "") for option in options), name


def test_the_reference_of_fields_has_every_field_of_every_table():
    text = reference.fields()
    for kind in KINDS.values():
        for each in (kind, *kind.variants.values()):
            if each.spec:
                title = kind.name if each.spec is kind.spec else f"{kind.name} ({each.spec.__name__})"
                [section] = [part for part in text.split("\n## ") if part.startswith(f"{title}\n")]
                names = [field.encode_name for field in msgspec.structs.fields(each.spec)]
                assert [name for name in names if f"| `{name}` " not in section] == [], title
    assert "| `rank` * |" in text or "| `rank` |" in text


def test_every_link_of_the_reference_of_fields_has_its_heading():
    text = reference.fields(links=True)
    slugs = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)", text, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert links
    assert links <= slugs


def messages() -> list[tuple[str, str]]:
    """Return (module, text) of all strings in the code that are no docstrings; parts of f-strings are apart."""
    found = []
    for path in sorted(paths.CODE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        bodies = [node.body for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list)]
        docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
        found += [
            (path.relative_to(paths.CODE).as_posix(), node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        ]
    return found


def test_messages_refer_to_pages_that_an_installed_command_prints():
    texts = [(module, text) for module, text in messages() if not module.startswith(("data/synthetic/", "testing/"))]
    assert [each for each in texts if re.search(r"\bdocs/[\w/-]+\.md", each[1])] == [], "not in a wheel"
    calls = [match for _, text in texts for match in re.findall(r"`punie-build docs ([\w/-]+)(?: ([\w-]+))?`", text)]
    assert len(calls) >= 2
    for topic, section in calls:
        assert docs.section_of(topic, section) if section else docs.text_of(topic)
