"""Sources: where raw examples come from. What a source names is got and read by `gathering`.

To add one: a class, its name in `AnySource` at the end of the file, a case in `gathering`, a test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from msgspec import Meta

from punie_build.schema.spec import Kind

Format = Literal[
    "jsonl", "jsonl.gz", "jsonl.zst", "ndjson", "ndjson.gz", "ndjson.zst", "json", "json.gz", "json.zst",
    "csv", "csv.gz", "csv.zst", "tsv", "tsv.gz", "tsv.zst", "parquet",
]  # fmt: skip
Limit = Annotated[int, Meta(ge=1)]  # the first so many rows of each side, in the order of the files
Words = Annotated[str, Meta(min_length=1)]

SCRIPT = re.compile(r"[^\0:=]+\.(py|sh|pl|rb|js|ts|lua|jq|awk|sql)")
LANGUAGES = {"cpp": "C++", "csharp": "C#", "javascript": "JavaScript", "typescript": "TypeScript", "php": "PHP"}
TICKS = re.compile(r"`{3,}")
DOCSTRINGS = ("func_documentation_string", "docstring")
CODE = ("func_code_string", "whole_func_string", "code", "original_string")
TITLES = ("func_name", "name")


class Source(Kind, frozen=True, kw_only=True):
    def inputs(self) -> tuple[str, ...]:
        """Paths in the project that this source reads."""
        return ()


class Sample(Source, frozen=True, kw_only=True, tag="sample"):
    """Synthetic editor conversations: `max_examples` of them, one in six meant to be sifted out."""

    max_examples: Annotated[int, Meta(ge=1)] = 100
    seed: int = 0

    def records(self) -> Iterator[dict[str, Any]]:
        from punie_build.data.synthetic.generator import sample

        return (sample(self.seed, index) for index in range(self.max_examples))


class HandAuthored(Source, frozen=True, kw_only=True, tag="hand-authored"):
    """The conversations shipped with punie-build: seven editor tools, written one by one."""

    def records(self) -> Iterator[dict[str, Any]]:
        from punie_build.data.synthetic.hand_authored import conversations

        return iter(conversations())


class Local(Source, frozen=True, kw_only=True, tag="local"):
    """Chat rows in the project: a file, or a folder. A folder's train, valid and test files keep their sides.

    The name's end says the format; `format` says it for a file that is called otherwise.
    """

    path: str
    format: Format | None = None
    limit: Limit | None = None

    def inputs(self) -> tuple[str, ...]:
        return (self.path,)


class Http(Source, frozen=True, kw_only=True, tag="http"):
    """One file at an address of the web, known by its digest: what has another one is not taken. Its rows have no sides.

    The name's end says the format; `format` says it for an address that ends otherwise. `max_mb`: a larger file is not
    downloaded to its end.
    """

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/@?#]+/\S*$")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    format: Format | None = None
    limit: Limit | None = None
    max_mb: Annotated[int, Meta(ge=1)] = 20_000

    def __post_init__(self) -> None:
        if not self.format and not self.form:
            raise ValueError(
                f"the address does not end in a format - add `format`, one of {', '.join(get_args(Format))}"
            )

    @property
    def form(self) -> str | None:
        """The format: what the recipe says, else what the address ends in."""
        name = unquote(urlsplit(self.url).path).lower()
        return self.format or next((form for form in get_args(Format) if name.endswith(f".{form}")), None)


class Hub(Source, frozen=True, kw_only=True, tag="hub"):
    """Files of a dataset on the Hugging Face Hub, at a commit: a branch's name would change the data behind your back.

    `files` are names or patterns (`data/train-*.parquet`); or `split` and `config` say which by the words in their names;
    or, without any of these, all data files: those called train, valid or test, where there are such. Rows keep the sides
    their files are called by, unless all are of one side: then the dataset's `split` divides them. With `limit`, JSONL is
    only read so far, whatever the size of the file.
    """

    repo: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
    revision: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")]
    files: tuple[Words, ...] = ()
    split: Words | None = None
    config: Words | None = None
    limit: Limit | None = None

    def __post_init__(self) -> None:
        if self.files and (self.split or self.config):
            raise ValueError("`files` names the files already - remove `split` and `config`, or `files`")


class Command(Source, frozen=True, kw_only=True, tag="command"):
    """A program of yours that writes chat JSONL on its standard output. It runs in the project's folder, without a shell.

    `argv`: the program and its arguments; `python` is the Python that builds. `reads`: the files and folders of the project
    that it reads: when they change, it runs again. A script named in `argv` is one of them without being told. It has
    `timeout` seconds. Its rows have no sides.
    """

    argv: Annotated[tuple[str, ...], Meta(min_length=1)]
    reads: tuple[Words, ...] = ()
    limit: Limit | None = None
    timeout: Annotated[int, Meta(ge=1)] = 3600

    def __post_init__(self) -> None:
        if not self.argv[0].strip():
            raise ValueError("`argv` begins with an empty word - begin it with the program's name")
        if len(self.argv) == 1 and " " in self.argv[0]:
            raise ValueError('`argv` is a list of words, no shell reads it - write ["python", "make_rows.py"]')

    def inputs(self) -> tuple[str, ...]:
        """What it reads, and the scripts of the project that `argv` names."""
        scripts = [word for word in self.argv if SCRIPT.fullmatch(word) and not PurePosixPath(word).is_absolute()]
        return tuple(dict.fromkeys((*self.reads, *(str(PurePosixPath(script)) for script in scripts))))


def as_chat(record: dict[str, Any]) -> dict[str, Any]:
    """A row that pairs a docstring with code, as CodeSearchNet's do, as a request and its answer; any other row as it is.

    Known by its keys: `func_documentation_string` or `docstring`, with `func_code_string`, `whole_func_string`, `code` or
    `original_string`. Short facts beside them (repository, path, address, licence) stay; tokens and copies go.
    """
    wish, code = (_text(record, keys) for keys in (DOCSTRINGS, CODE))
    if "messages" in record or not wish or not code:
        return record
    language = str(record.get("language") or "python").lower()
    title, fence = _text(record, TITLES), max(["```", *(ticks + "`" for ticks in TICKS.findall(code))], key=len)
    what = f"Write a {LANGUAGES.get(language, language.capitalize())} function" + (
        f" called `{title}`" if title else ""
    )
    messages = [
        {"role": "user", "content": f"{what}:\n\n{wish}"},
        {"role": "assistant", "content": f"{fence}{language}\n{code}\n{fence}"},
    ]
    facts = {key: value for key, value in record.items() if isinstance(value, str) and key not in (*DOCSTRINGS, *CODE)}
    return {"messages": messages, **facts}


def _text(record: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The first of these keys that says something; code keeps the indentation of its first line."""
    texts = (value for key in keys if isinstance(value := record.get(key), str) and value.strip())
    return next(texts, "").strip("\r\n").rstrip()


AnySource = Sample | HandAuthored | Local | Hub | Http | Command
