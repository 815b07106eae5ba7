"""The options of the commands of `dataset`, and the sources and filters that they describe."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import msgspec

from punie_build.cli.hub_commit import REPOSITORY, with_commit
from punie_build.cli.options import Options, base_folder, dialect_option, json_option, output_option, path_argument
from punie_build.data.filters.union import AnyFilter, FilterContext
from punie_build.data.sources import AnySource, HandAuthored, Http, Hub, Local, Sample
from punie_build.data.spec import Stage
from punie_build.errors import UseError
from punie_build.schema.validation import mistakes

PYTHON_CODE = "python-code"  # the code of the older project: Python files of The Stack, a gated dataset
STACK, STACK_FILES = "bigcode/the-stack-dedup", ("data/python/*",)


def source(options: Options) -> AnySource:
    """Return the source that the argument SOURCE names. Raises UseError if there is none."""
    name, limit = options.source, options.max
    if name == "sample":
        return Sample(max_examples=limit or 100)
    if name == "hand-authored":
        return HandAuthored()
    if name.startswith(("http://", "https://")):
        if not options.sha256:
            raise UseError(f"{name}: a file of the web needs its digest - add --sha256")
        return Http(url=name, sha256=options.sha256, limit=limit)
    files = tuple(options.files or ())
    if name == PYTHON_CODE:
        options.columns = options.columns or ["content=assistant"]
        options.template = options.template or "Write Python code to solve a programming task:"
        name, files, limit = STACK, files or STACK_FILES, limit or 1000
    if (
        not Path(name).exists()
        and (match := REPOSITORY.fullmatch(with_commit(Path(), name, holds_data=True)))
        and match[2]
    ):
        repo, _, commit = match[0].partition("@")
        return Hub(repo=repo, revision=commit, files=files, limit=limit)
    if not Path(name).exists():
        raise UseError(
            f"{name}: no such file or folder, and not org/name@commit - use one of these, `sample`, `hand-authored` or "
            f"`{PYTHON_CODE}`"
        )
    return Local(path=name, limit=limit)


def filters(options: Options) -> list[AnyFilter]:
    """Return the filters that the options describe. Raises UseError if there is none, or if one is invalid."""
    tables: list[tuple[str, object]] = []
    if options.language:
        languages = " ".join(options.language)
        tables.append((f"--language {languages}", {"type": "language", "languages": options.language}))
    if options.min_python:
        tables.append((f"--min-python {options.min_python}", {"type": "python-version", "min": options.min_python}))
    if options.min_messages:
        tables.append(("--min-messages", {"type": "min-messages", "messages": options.min_messages}))
    for text in options.filter or ():
        try:
            tables.append((f"--filter {text}", msgspec.json.decode(text)))
        except msgspec.DecodeError as error:
            raise UseError(f"--filter {text}: {error} - write it as in a recipe, but as JSON") from None
    if options.max:
        tables.append(("--max", {"type": "sample", "most": options.max}))
    if not tables:
        raise UseError("no filter is named - add --language, --min-python, --min-messages, --max or --filter")
    return [_filter(option, table) for option, table in tables]


def _filter(option: str, table: object) -> AnyFilter:
    """Return the filter of a table. Raises UseError, which names the option, if the table is invalid."""
    stage = {"from": "x", "filters": [table]}
    if problems := list(mistakes(stage, Stage, option)):
        raise UseError("\n".join(problem.replace(".filters[0]", "", 1) for problem in problems))
    return msgspec.convert(stage, Stage).filters[0]


def filter_context(root: Path, chosen: Iterable[AnyFilter]) -> FilterContext:
    """Return the bases and suites that filters name. Raises UseError for an unknown name."""
    from punie_build.cli.evaluate import find_suite

    bases = {name: base_folder(root, name, "base") for item in chosen if (name := getattr(item, "base", None))}
    suites = [find_suite(root, name) for item in chosen for name in getattr(item, "suites", ())]
    return FilterContext({name: suite.prompts() for name, suite in suites}, bases, root=root)


def download_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `dataset download`."""
    command.add_argument(
        "source",
        metavar="SOURCE",
        help="sample, hand-authored, python-code, a file or folder, org/name@commit, or a URL",
    )
    command.add_argument("--max", type=int, metavar="N", help="read at most N rows")
    command.add_argument("--sha256", metavar="DIGEST", help="the digest of a file of the web")
    command.add_argument("--files", nargs="*", metavar="FILE", help="files of a Hub dataset; patterns are allowed")
    dialect_option(command)
    output_option(command)
    _split_options(command)


def stats_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `dataset stats`."""
    path_argument(command)
    command.add_argument("--base", help="also count tokens with the tokenizer and chat template of this base")
    json_option(command)


def filter_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `dataset filter`."""
    path_argument(command)
    output_option(command)
    command.add_argument("--language", action="append", metavar="en", help="keep this language (may be repeated)")
    command.add_argument("--min-python", metavar="3.10", help="drop rows with code that only Python 2 runs")
    command.add_argument("--min-messages", type=int, metavar="N", help="keep rows with at least N messages")
    command.add_argument("--max", type=int, metavar="N", help="keep at most N rows, chosen by hash")
    command.add_argument("--filter", action="append", metavar="JSON", help="add any filter of recipes, as JSON")


def merge_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `dataset merge`."""
    command.add_argument("paths", metavar="PATH", nargs="+", help="files or folders")
    dialect_option(command)
    output_option(command)
    _split_options(command)
    command.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the split and the order (0)")


def head_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `dataset head`."""
    path_argument(command)
    command.add_argument("-n", type=int, default=3, metavar="N", help="number of rows (3)")
    command.add_argument("--dropped", action="store_true", help="print dropped rows, with the reason")
    command.add_argument(
        "--base", help="print rows as this base reads them: [[trained]], <<end mark>>, or in colors on a terminal"
    )


def _split_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--valid", type=float, default=0.1, metavar="SHARE", help="share of validation rows (0.1)")
    command.add_argument("--test", type=float, default=0.0, metavar="SHARE", help="share of test rows (0)")
