"""Check text files: one newline at the end, no blanks at the end of a line, and TOML that parses.

python tests/support/text_files.py FILE ...       prints a line for each problem; exits with 1 if there is one
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path


def problems(path: Path) -> Iterator[str]:
    """Yield a line for each problem of a file."""
    text = path.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        yield f"{path}: no newline at the end of the file - add one"
    if text.endswith("\n\n"):
        yield f"{path}: blank lines at the end of the file - remove them"
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip(" \t\r") and path.suffix != ".md":
            yield f"{path}:{number}: blanks at the end of the line - remove them"
    if path.suffix == ".toml":
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            yield f"{path}: not TOML: {error}"


def main(names: list[str]) -> int:
    """Print the problems of all files. Return the exit code."""
    lines = [line for name in names for line in problems(Path(name))]
    print("\n".join(lines), end="\n" if lines else "")
    return bool(lines)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
