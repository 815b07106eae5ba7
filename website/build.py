"""Build the documentation as a site, offline and without warnings: `python -m website.build [DIR]`.

The source is a copy of the Markdown files of the repository in their folders, so that links between them stay as they
are; links to other files lead to the repository. References of commands and fields are made from the code.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from punie_build.cli import reference

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
ALSO = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "models/nano/README.md", "benchmarks/README.md")
REPOSITORY = "https://github.com/punie/punie-build/blob/main"
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
PICTURES = (".png", ".svg")


def documents() -> list[str]:
    """Return the paths of the Markdown files and pictures that the site consists of."""
    docs = (path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", *PICTURES))
    return [*ALSO, *sorted(path.relative_to(ROOT).as_posix() for path in docs)]


def write_source(folder: Path) -> None:
    """Write the source of the site: configuration, index, documents, and the references that the code makes."""
    shutil.copytree(HERE / "theme", folder / "theme")
    shutil.copyfile(HERE / "conf.py", folder / "conf.py")
    names = documents()
    (folder / "index.md").write_text(index(names), encoding="utf-8")
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            target.write_text(with_links((ROOT / name).read_text(encoding="utf-8"), name, names), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / name, target)
    (folder / "docs" / "commands.md").write_text(reference.commands(), encoding="utf-8")
    (folder / "docs" / "fields.md").write_text(reference.fields(links=True), encoding="utf-8")


def index(names: list[str]) -> str:
    """Return the index with the documents that it does not name, under a heading of their own."""
    text = (HERE / "index.md").read_text(encoding="utf-8")
    patterns = re.findall(r"^([\w*/.-]+)$", text, re.MULTILINE)
    pages = [name.removesuffix(".md") for name in names if name.endswith(".md")]
    rest = [page for page in pages if not any(fnmatch(page, pattern) for pattern in patterns)]
    return text + "\n".join(["\n```{toctree}", ":caption: More", "", *rest, "```", ""]) if rest else text


def with_links(text: str, name: str, names: list[str]) -> str:
    """Return a document whose links to files outside the site lead to the repository."""

    def link(match: re.Match[str]) -> str:
        target = (ROOT / name).parent.joinpath(match[1]).resolve().relative_to(ROOT).as_posix()
        return match[0] if target in names else f"]({REPOSITORY}/{target}{match[2] or ''})"

    return LINK.sub(link, text)


def build(output: Path) -> int:
    """Build the site into a folder, which is emptied first. Return the exit code of Sphinx; a warning is an error."""
    try:
        from sphinx.cmd.build import build_main
    except ImportError:
        print("sphinx: not installed - pip install 'punie-build[docs]'", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.mkdir()
        write_source(source)
        shutil.rmtree(output, ignore_errors=True)
        doctrees = str(Path(folder, "doctrees"))
        return int(build_main(["-q", "-W", "--keep-going", "-b", "html", "-d", doctrees, str(source), str(output)]))


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]) if sys.argv[1:] else HERE / "html"))
