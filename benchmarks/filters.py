"""Accuracy of filters: `python-version`, `language`, `secrets`, near duplicates, `valid-tools`.

    ./run python benchmarks/filters.py --python2 PYTHON2.7 --python3 PYTHON3.12 --stdlib DIR DIR ...
    ./run python benchmarks/filters.py --real FOLDER        # a folder of English datasets, each a folder
    ./run python benchmarks/filters.py --places LIB2 LIB3 --most 60          # Python 2 in 17 places of an answer
    ./run python benchmarks/filters.py --lingua FOLDER           # 74 languages
    ./run python benchmarks/filters.py --english FILE FOLDER ...  # rows in English, of any form
    ./run python benchmarks/filters.py --vectors FOLDER     # tests/plugins of bc-detect-secrets
    ./run python benchmarks/filters.py --twins --tools --shapes  # near twins; faults of tool calls; shapes of tokens

DIR is a standard library, such as lib/python2.7 or lib/python3.13. Snippets are its top-level functions and classes.
A snippet is old if Python 2.7 compiles it and Python 3 does not. The comparison is with the regular expressions that
the filter replaced. Removed names (`xrange`) occur in snippets that compile: detecting them is right in the library
of Python 2, and wrong elsewhere.

Sentences are those of `tests/support/sentences.py`. All rows of the real datasets are English, except the printed
ones in another script.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.filter_places import places
from benchmarks.filter_secrets import secrets, shapes
from punie_build.data.example import Example, Message, Row
from punie_build.data.filters.python2 import requires_python2
from punie_build.data.filters.tool_schemas import argument_validator
from punie_build.data.filters.union import Language, PythonVersion
from punie_build.data.ingest import ingest
from punie_build.data.minhash import near_duplicate_pairs
from punie_build.data.shingles import words
from punie_build.data.sources import Local
from tests.support.sentences import SENTENCES

REGEXES = re.compile(
    r"^class\s+\w+:|from __future__ import|\bprint\s+['\"\w]|\bexcept\s+\w+\s*,|\.has_key\("
    r"|\bxrange\(|\braw_input\(|\bunicode\(|<>",
    re.MULTILINE,
)
COMPILE = """
import json, sys, warnings
warnings.simplefilter("ignore")
def compiles(code):
    try:
        compile(code, "x", "exec")
        return True
    except (SyntaxError, ValueError, TypeError):
        return False
encode = (lambda code: code.encode("utf-8")) if sys.version_info[0] == 2 else (lambda code: code)
print(json.dumps([compiles(encode(code)) for code in json.load(sys.stdin)]))
"""


def snippets(library: Path) -> Iterator[str]:
    """Top-level functions and classes: from a line that begins one to the next that is not indented."""
    for path in sorted(library.rglob("*.py")):
        if {"site-packages", "data"} & {*path.parts}:  # of others, and what lib2to3's tests are to change
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        yield from re.findall(r"^(?:def|class) .*\n(?:[ \t].*\n|[ \t]*\n)+", text, re.MULTILINE)


def labels(python: str, codes: Sequence[str]) -> list[bool]:
    said = subprocess.run([python, "-c", COMPILE], input=json.dumps(codes), text=True, capture_output=True, check=True)
    found: list[bool] = json.loads(said.stdout)
    return found


def versions(options: argparse.Namespace) -> None:
    codes: list[tuple[str, str]] = []
    for library in options.stdlib:
        some = sorted(set(snippets(library)))
        codes += [(library.name, code) for code in random.Random(0).sample(some, min(len(some), options.most))]
    two, three = (labels(python, [code for _, code in codes]) for python in (options.python2, options.python3))
    print(f"{len(codes)} snippets, {sum(a and not b for a, b in zip(two, three, strict=True))} of them old\n")
    print(
        "| detector | precision | recall | removed names in Python 2's library | false alarms in Python 3's "
        "| snippets per CPU second |\n|---|---|---|---|---|---|"
    )
    detectors: dict[str, Callable[[str], object]] = {
        "punie-build": requires_python2,
        "regular expressions": REGEXES.search,
    }
    for name, detect in detectors.items():
        started = time.process_time()
        said = [bool(detect(code)) for _, code in codes]
        speed = len(codes) / (time.process_time() - started)
        rows = list(zip(codes, said, two, three, strict=True))
        right = sum(flag and a and not b for _, flag, a, b in rows)
        wrong = sum(flag and not a and not b for _, flag, a, b in rows)  # no Python of either age
        missed = sum(not flag and a and not b for _, flag, a, b in rows)
        alarms = sum(flag and b and "2" not in library[-4:-1] for (library, _), flag, _, b in rows)
        names = sum(flag and b and "2" in library[-4:-1] for (library, _), flag, _, b in rows)
        precision, recall = right / (right + wrong + alarms), right / (right + missed)
        print(f"| {name} | {precision:.3f} | {recall:.3f} | {names} | {alarms} | {speed:,.0f} |")


def example(*texts: str) -> Example:
    return Example(tuple(Message(role, text) for role, text in zip(("user", "assistant"), texts, strict=False)))


def languages(real: Path | None) -> None:
    keep, modern = Language(languages=("en",)).predicate(), PythonVersion().predicate()
    foreign = [text for language, texts in SENTENCES.items() if language != "en" for text in texts]
    leaked = sum(keep(example(text)) for text in foreign)
    wrong = sum(not keep(example(text)) for text in SENTENCES["en"])
    print(
        f"sentences: {wrong} of {len(SENTENCES['en'])} English ones dropped; {leaked} of {len(foreign)} others leaked"
    )
    for folder in sorted(path for path in real.iterdir() if path.is_dir()) if real else ():
        with tempfile.TemporaryDirectory() as scratch:
            found = list(ingest(folder.parent, Local(path=folder.name), "auto", Path(scratch)))
        rows = [row.example for _, row in found if isinstance(row, Row)]
        started = time.process_time()
        lost = [row for row in rows if not keep(row)]
        speed = sum(len(row.text()) for row in rows) / (time.process_time() - started) / 1e6
        old = sum(not modern(row) for row in rows)
        print(f"{folder.name}: {len(lost)} of {len(rows)} dropped by language, {old} by python-version")
        print(
            f"    language: {speed:.1f} MB per CPU second", *(f"    {row.group_key()[:70]!r}" for row in lost), sep="\n"
        )


def sentences(folder: Path) -> None:
    """Pairs of sentences of lingua's `language-testdata/sentences`, 80 of each language."""
    keep = Language(languages=("en",)).predicate()
    counts = {"foreign": [0, 0], "en": [0, 0]}
    for path in sorted(folder.glob("*.txt")):
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        for pair in list(zip(lines[::2], lines[1::2], strict=False))[:80]:
            count = counts["en" if path.stem == "en" else "foreign"]
            count[0] += keep(example(*pair))
            count[1] += 1
    kept, total = counts["foreign"]
    print(
        f"lingua: {kept} of {total} foreign pairs kept "
        f"({kept / total:.2%}); English {counts['en'][0]} of {counts['en'][1]}"
    )


def english(paths: Sequence[Path]) -> None:
    """Rows in English: files and folders of any form that the reader knows."""
    keep = Language(languages=("en",)).predicate()
    rows = lost = unreadable = 0
    for path in paths:
        with tempfile.TemporaryDirectory() as scratch:
            found = [row for _, row in ingest(path.parent, Local(path=path.name), "auto", Path(scratch))]
        examples = [row.example for row in found if isinstance(row, Row)]
        dropped = [row for row in examples if not keep(row)]
        print(
            f"{path}: {len(dropped)} of {len(examples)} English rows dropped, {len(found) - len(examples)} unreadable"
        )
        for row in dropped[:9]:
            print(f"    {row.text()[:90]!r}")
        rows, lost, unreadable = rows + len(examples), lost + len(dropped), unreadable + len(found) - len(examples)
    print(f"English: {lost} of {rows} rows dropped ({lost / max(rows, 1):.2%}), {unreadable} unreadable")


def twins(count: int = 400) -> None:
    """Answers of 60 to 200 characters or 60 to 200 words, each beside a copy with one of these changed."""
    choose = random.Random(0)
    for name, alphabet, joint in (
        ("Chinese", [chr(0x4E00 + n) for n in range(2000)], ""),
        ("English", [f"{a}{b}" for a in ("green", "river", "stone", "wind") for b in range(500)], " "),
    ):
        answers = [choose.choices(alphabet, k=choose.randint(60, 200)) for _ in range(count)]
        copies = [answer.copy() for answer in answers]
        for copy in copies:
            copy[choose.randrange(len(copy))] = choose.choice(alphabet)
        texts = [words(joint.join(answer)) for answer in (*answers, *copies)]
        pairs = near_duplicate_pairs(texts)
        right = sum(j == i + count for i, j, _ in pairs)
        print(f"{name} twins: {right} of {count} found; {len(pairs) - right} other pairs")


def tools(count: int = 500) -> None:
    """Calls with right arguments, and with one fault each."""
    properties = {
        "unit": {"type": "string", "enum": ["c", "f"]},
        "days": {"type": "array", "items": {"type": "integer"}},
        "place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "note": {"type": "string", "nullable": True},
        "size": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/size"}]},
    }
    schema = {"type": "object", "properties": properties, "required": ["unit"], "$defs": {"size": {"const": "any"}}}
    right = {"unit": "c", "days": [1, 2], "place": {"city": "Rome"}, "note": None, "size": "any"}
    faults = {
        "enum": {"unit": "k"},
        "item": {"days": [1, "x"]},
        "nested": {"place": {"city": 1}},
        "anyOf": {"size": "all"},
    }
    faults |= {"unknown argument": {"town": 1}, "unknown inside": {"place": {"city": "Rome", "zip": 1}}}
    validate = argument_validator(schema, unknown=False)
    valid = [
        {key: right[key] for key in right if key == "unit" or number >> list(right).index(key) & 1}
        for number in range(count)
    ]
    print(f"valid calls dropped: {sum(not validate(arguments) for arguments in valid)} of {count}")
    for name, fault in faults.items():
        print(f"{name}: {sum(not validate(arguments | fault) for arguments in valid)} of {count} faults found")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python2")
    parser.add_argument("--python3", default=sys.executable)
    parser.add_argument("--stdlib", nargs="*", type=Path, default=[], help="folders of standard libraries")
    parser.add_argument("--most", type=int, default=4000, help="snippets of each (4000)")
    parser.add_argument("--real", type=Path, help="a folder of sets in English")
    parser.add_argument("--places", nargs=2, type=Path, metavar=("LIB2", "LIB3"), help="standard libraries of 2 and 3")
    parser.add_argument("--lingua", type=Path, help="folder of sentences, a file for each language")
    parser.add_argument("--english", nargs="*", type=Path, default=[], help="files and folders of rows in English")
    parser.add_argument("--vectors", type=Path, help="tests/plugins of bc-detect-secrets")
    parser.add_argument("--twins", action="store_true")
    parser.add_argument("--tools", action="store_true")
    parser.add_argument("--shapes", action="store_true", help="shapes of real tokens, those of the tests")
    options = parser.parse_args()
    if options.places:
        predicate = PythonVersion().predicate()
        places(*options.places, options.most, lambda row: not predicate(row))
    if options.lingua:
        sentences(options.lingua)
    if options.english:
        english(options.english)
    if options.vectors:
        secrets(options.vectors)
    if options.twins:
        twins()
    if options.tools:
        tools()
    if options.shapes:
        shapes()
    if sys.argv[1:] and not (options.stdlib or options.real):
        return
    if options.stdlib and options.python2:
        versions(options)
    languages(options.real)


if __name__ == "__main__":
    main()
