"""Agreement of `gopher-quality` and `c4-quality` with datatrove, rule by rule, on real texts.

    PYTHON benchmarks/quality.py --verdicts ours FILE FOLDER ... > ours.json         # the Python of the project
    PYTHON benchmarks/quality.py --verdicts datatrove FILE FOLDER ... > theirs.json  # one with datatrove and spacy
    PYTHON benchmarks/quality.py --compare ours.json theirs.json
    PYTHON benchmarks/quality.py --record tests/support/quality_oracle.json          # one with datatrove and spacy

The last command writes datatrove's version and verdicts on the texts of a file, which a test compares with ours.

Texts are the assistant's messages of `.jsonl` files, and whole files of other types (`.md`, `.rst`, `.txt`, licenses),
in parts of 4,000 characters. A rule is tested alone: all others are set so that they pass.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

PART = 4000
GOPHER = {  # rule -> (our options, datatrove's); None turns a rule of datatrove off
    "words": ({"min_words": 50}, {"min_doc_words": 50}),
    "word length": (
        {"min_word_length": 3.0, "max_word_length": 10.0},
        {"min_avg_word_length": 3, "max_avg_word_length": 10},
    ),
    "symbols": ({"max_symbols": 0.1}, {"max_symbol_word_ratio": 0.1}),
    "bullets": ({"max_bullet_lines": 0.9}, {"max_bullet_lines_ratio": 0.9}),
    "ellipses": ({"max_ellipsis_lines": 0.3}, {"max_ellipsis_lines_ratio": 0.3}),
    "letters": ({"max_words_without_letter": 0.2}, {"max_non_alpha_words_ratio": 0.8}),
    "stop words": ({"min_stop_words": 2}, {"min_stop_words": 2}),
}
C4 = {
    "sentences": ({"curly_brackets": True}, {"filter_curly_bracket": False}),
    "curly brackets": ({"min_sentences": 0}, {"min_num_sentences": -1}),
}
OURS_OFF = {
    "min_words": 0, "max_words": 10**9, "min_word_length": 0.0, "max_word_length": 1e9, "max_symbols": 1e9,
    "max_bullet_lines": 1.0, "max_ellipsis_lines": 1.0, "max_words_without_letter": 1.0, "min_stop_words": 0,
}  # fmt: skip
THEIRS_OFF = (
    "min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio",
    "max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio", "min_stop_words",
)  # fmt: skip


def texts(places: list[Path], most: int) -> Iterator[str]:
    """Yield at most `most` texts, chosen by seed."""
    files = [file for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
    found: dict[str, None] = {}
    for file in files:
        if not file.is_file() or file.suffix in (".py", ".pyc", ".so"):
            continue
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if file.suffix == ".jsonl":
            for line in text.splitlines():
                messages = json.loads(line).get("messages", ())
                found["\n".join(m.get("content") or "" for m in messages if m["role"] == "assistant")] = None
        else:
            found |= dict.fromkeys(text[start : start + PART] for start in range(0, len(text), PART))
    some = sorted(text for text in found if text.strip())
    yield from random.Random(0).sample(some, min(most, len(some)))


def ours() -> dict[str, Callable[[str], bool]]:
    from punie_build.data.example import Example, RowMessage
    from punie_build.data.filters.quality import C4Quality, GopherQuality

    def judge(keep: Callable[[Example], bool]) -> Callable[[str], bool]:
        return lambda text: keep(Example((RowMessage("assistant", text),)))

    rules = {f"Gopher: {rule}": judge(GopherQuality(**OURS_OFF | mine).keep) for rule, (mine, _) in GOPHER.items()}
    rules["Gopher: all"] = judge(GopherQuality().keep)
    rules |= {f"C4: {rule}": judge(C4Quality(**mine).keep) for rule, (mine, _) in C4.items()}
    return rules | {"C4: all": judge(C4Quality().keep)}


def datatrove() -> dict[str, Callable[[str], bool]]:
    from datatrove.data import Document
    from datatrove.pipeline.filters.c4_filters import C4QualityFilter
    from datatrove.pipeline.filters.gopher_quality_filter import GopherQualityFilter

    def judge(filter_: object) -> Callable[[str], bool]:
        return lambda text: filter_.filter(Document(text=text, id="1")) is True  # type: ignore[attr-defined]

    off = dict.fromkeys(THEIRS_OFF)
    rules = {f"Gopher: {rule}": judge(GopherQualityFilter(**off | theirs)) for rule, (_, theirs) in GOPHER.items()}
    rules["Gopher: all"] = judge(GopherQualityFilter())
    rules |= {f"C4: {rule}": judge(C4QualityFilter(**theirs)) for rule, (_, theirs) in C4.items()}
    return rules | {"C4: all": judge(C4QualityFilter())}


def record(path: Path) -> None:
    """Write the verdicts of datatrove on the texts of the file: for each rule the numbers of the texts it keeps."""
    samples = json.loads(path.read_text("utf-8"))["texts"]
    kept = {rule: [number for number, text in enumerate(samples) if keep(text)] for rule, keep in datatrove().items()}
    table = {"datatrove": version("datatrove"), "kept": kept, "texts": samples}
    path.write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", "utf-8")


def compare(first: Path, second: Path) -> None:
    """Print the agreement, and one text of each kind of difference."""
    mine, theirs = (json.loads(path.read_text()) for path in (first, second))
    print("| rule | texts | agreement | only datatrove drops | only punie-build drops |\n|---|---|---|---|---|")
    for rule in mine:
        pairs = [(mine[rule][text], theirs[rule][text]) for text in mine[rule]]
        only_theirs, only_ours = pairs.count((True, False)), pairs.count((False, True))
        agreement = 1 - (only_theirs + only_ours) / len(pairs)
        print(f"| {rule} | {len(pairs)} | {agreement:.1%} | {only_theirs} | {only_ours} |")
    for rule in mine:
        for text, kept in mine[rule].items():
            if kept != theirs[rule][text]:
                print(f"{rule}, {'kept' if kept else 'dropped'} by punie-build: {text[:150]!r}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--verdicts", choices=("ours", "datatrove"))
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("OURS", "THEIRS"))
    parser.add_argument("--record", type=Path, metavar="FILE")
    parser.add_argument("--most", type=int, default=1000, help="texts (1000)")
    parser.add_argument("places", nargs="*", type=Path)
    options = parser.parse_args()
    if options.compare:
        compare(*options.compare)
    elif options.record:
        record(options.record)
    else:
        rules = ours() if options.verdicts == "ours" else datatrove()
        samples = list(texts(options.places, options.most))
        print(json.dumps({rule: {text: keep(text) for text in samples} for rule, keep in rules.items()}))


if __name__ == "__main__":
    main()
