"""The places in which an answer may have Python code, for the figures of `python-version` in `filters.py`."""

from __future__ import annotations

import ast
import json
import random
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from punie_build.data.example import Example, decode_example

OLD = re.compile(r"^ *print [^(\n]|except \w+, \w+:|raise \w+, ", re.MULTILINE)  # what a cut file must still have
STATEMENT = re.compile(r"^(?:def|class|print|for|if|raise|\w+ = ).*\n(?:[ \t].*\n|[ \t]*\n)*", re.MULTILINE)


def parses(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError):
            return False
    return True


def library_files(library: Path, valid: bool, most: int) -> list[str]:
    """Files of a standard library that this Python parses, or does not."""

    def texts() -> Iterator[str]:
        for path in sorted(library.rglob("*.py")):
            if {"site-packages", "bad", "data"} & {*path.parts} or "bad" in path.name:
                continue
            try:
                text = path.read_text("utf-8")
            except UnicodeDecodeError:
                continue
            if text.strip() and len(text) < 200_000 and parses(text) is valid:
                yield text

    files = list(texts())
    return random.Random(0).sample(files, min(most, len(files)))


def chat(text: str = "", **arguments: object) -> Example:
    message: dict[str, object] = {"role": "assistant", "content": text}
    if arguments:
        call = {"name": "run", "arguments": json.dumps(arguments)}
        message["tool_calls"] = [{"id": "1", "type": "function", "function": call}]
    return decode_example(json.dumps({"messages": [{"role": "user", "content": "Run it in Python"}, message]}).encode())


def prefixed(text: str, prefix: str) -> str:
    return "\n".join(prefix + line if line.strip() else line for line in text.split("\n"))


def session(text: str) -> str:
    lines: list[str] = []
    for statement in STATEMENT.findall(text)[:40]:
        first, *rest = statement.rstrip().split("\n")
        lines += [f">>> {first}", *(f"... {line}" for line in rest), *(["... "] if rest else []), "output"]
    return "\n".join(lines)


def added(text: str) -> str:
    return "--- /dev/null\n+++ b/x.py\n@@ -0,0 +1,9 @@\n" + prefixed(text, "+")


PLACES: dict[str, Callable[[str], Example]] = {
    "fence": lambda code: chat(f"Here:\n```python\n{code}\n```\n"),
    "argument": lambda code: chat(code=code),
    "argument of write_file": lambda code: chat(path="a/b.py", content=code),
    "nested argument": lambda code: chat(edits=[{"old_string": "x = 1\ny = 2", "new_string": code}]),
    "fence in a list": lambda code: chat(f"1. Do:\n\n   ```python\n{prefixed(code, '   ')}\n   ```\n"),
    "quoted fence": lambda code: chat("\n".join(f"> {line}" for line in f"```python\n{code}\n```".split("\n"))),
    "```Python": lambda code: chat(f"```Python\n{code}\n```"),
    "```py2": lambda code: chat(f"```py2\n{code}\n```"),
    "```python title": lambda code: chat(f'```python title="x.py"\n{code}\n```'),
    "~~~python": lambda code: chat(f"~~~python\n{code}\n~~~"),
    "CRLF": lambda code: chat(f"```python\n{code}\n```\n".replace("\n", "\r\n")),
    "magics above": lambda code: chat(f"```python\n%matplotlib inline\n!pip install x\n{code}\n```"),
    "cut at 90 %": lambda code: chat(f"```python\n{code[: int(len(code) * 0.9)]}"),
    "cut at 50 %": lambda code: chat(f"```python\n{code[: int(len(code) * 0.5)]}"),
    "without a fence": chat,
    "new side of a diff": lambda code: chat(f"```diff\n{added(code)}\n```"),
    "session": lambda code: chat(f"```pycon\n{session(code.replace('`', ''))}\n```"),
}


def places(library2: Path, library3: Path, most: int, detect: Callable[[Example], bool]) -> None:
    """Print the share of Python 2 found in each place, and the Python 3 that is taken for it."""
    old, new = library_files(library2, False, most), library_files(library3, True, most)
    print("| place | Python 2 found | Python 3 flagged |\n|---|---|---|")
    for name, place in PLACES.items():
        rows = [place(code) for code in old]
        if name.startswith(("cut", "session")):
            rows = [row for row in rows if OLD.search(re.sub(r"(?m)^(>>>|\.\.\.) ", "", row.messages[1].content or ""))]
        hits = sum(map(detect, rows))
        false = sum(detect(place(code)) for code in new)
        print(
            f"| {name} | {hits} of {len(rows)} ({hits / max(len(rows), 1):.0%}) | {false} of {len(new)} |", flush=True
        )
