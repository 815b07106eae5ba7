"""Sources of raw examples, as recipes declare them. `ingest` downloads and reads them.

To add one: a class, its name in `AnySource` at the end of the file, a case in `ingest`, a test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import unquote, urlsplit

from msgspec import Meta

from punie_build.schema.spec import TaggedSpec

Format = Literal[
    "jsonl", "jsonl.gz", "jsonl.zst", "ndjson", "ndjson.gz", "ndjson.zst",
    "jsonlines", "jsonlines.gz", "jsonlines.zst", "json", "json.gz", "json.zst", "traj", "traj.gz", "traj.zst",
    "csv", "csv.gz", "csv.zst", "tsv", "tsv.gz", "tsv.zst", "parquet",
]  # fmt: skip
Limit = Annotated[int, Meta(ge=1)]  # the number of rows of each split, from the first file on
NonEmptyText = Annotated[str, Meta(min_length=1)]

_SCRIPT = re.compile(r"[^\0:=]+\.(py|sh|pl|rb|js|ts|lua|jq|awk|sql)")
_LANGUAGES = {"cpp": "C++", "csharp": "C#", "javascript": "JavaScript", "typescript": "TypeScript", "php": "PHP"}
_BACKTICKS = re.compile(r"`{3,}")
_DOCSTRING_KEYS = ("func_documentation_string", "docstring")
_CODE_KEYS = ("func_code_string", "whole_func_string", "code", "original_string")
_TITLE_KEYS = ("func_name", "name")


class DataSource(TaggedSpec, frozen=True, kw_only=True):
    """The base of all sources."""

    NOUN: ClassVar = "source"

    def inputs(self) -> tuple[str, ...]:
        """Return the paths in the project that this source reads."""
        return ()


class Sample(DataSource, frozen=True, kw_only=True, tag="sample"):
    """Synthetic editor conversations, of which one in six is bad on purpose, for filters to drop."""

    max_examples: Annotated[int, Meta(ge=1)] = 100
    seed: int = 0

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the conversations as chat."""
        from punie_build.data.synthetic.generator import sample

        return (sample(self.seed, index) for index in range(self.max_examples))


class HandAuthored(DataSource, frozen=True, kw_only=True, tag="hand-authored"):
    """The hand-written conversations that punie-build ships, about seven editor tools."""

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the conversations as chat."""
        from punie_build.data.synthetic.hand_authored import conversations

        return iter(conversations())


class Local(DataSource, frozen=True, kw_only=True, tag="local"):
    """A file or folder of chat rows in the project. The train, valid and test files of a folder keep their splits.

    The suffix of a file's name is its format; `format` is for a file with another name.
    """

    path: str
    format: Format | None = None
    limit: Limit | None = None

    def inputs(self) -> tuple[str, ...]:
        """Return the path."""
        return (self.path,)


class Http(DataSource, frozen=True, kw_only=True, tag="http"):
    """A file at a URL, verified by its digest. Its rows have no splits.

    The suffix of the URL's path is the format; `format` is for a URL with another suffix. A download stops at `max_mb`
    MiB.
    """

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/@?#]+/\S*$")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    format: Format | None = None
    limit: Limit | None = None
    max_mb: Annotated[int, Meta(ge=1)] = 20_000

    def __post_init__(self) -> None:
        if not self.file_format:
            raise ValueError(
                f"the address does not end in a format - add `format`, one of {', '.join(get_args(Format))}"
            )

    @property
    def file_format(self) -> str | None:
        """Return the format of the recipe, else the one that the URL ends in."""
        name = unquote(urlsplit(self.url).path).lower()
        return self.format or next((form for form in get_args(Format) if name.endswith(f".{form}")), None)


class Hub(DataSource, frozen=True, kw_only=True, tag="hub"):
    """Files of a dataset on the Hugging Face Hub, at a commit, because the data of a branch may change.

    `files` are names or patterns (`data/train-*.parquet`); or `split` and `config` select files by words in their
    names; or, without any of these, all data files are read: those named train, valid or test, if there are any. Rows
    keep the splits of their files' names, unless all are of one split: then the `split` of the dataset's recipe
    divides them. With `limit`, JSONL is streamed only up to the limit.
    """

    repo: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
    revision: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")]
    files: tuple[NonEmptyText, ...] = ()
    split: NonEmptyText | None = None
    config: NonEmptyText | None = None
    limit: Limit | None = None

    def __post_init__(self) -> None:
        if self.files and (self.split or self.config):
            raise ValueError("`files` names the files already - remove `split` and `config`, or `files`")


class Command(DataSource, frozen=True, kw_only=True, tag="command"):
    """A program of the user that writes chat JSONL to its standard output, run in the project's folder without a shell.

    `argv`: the program and its arguments; `python` is the Python that runs the build. `reads`: the files and folders
    of the project that it reads; a change of one of them runs it again, as does a change of a script that `argv`
    names. It is stopped after `timeout` seconds. Its rows have no splits.
    """

    argv: Annotated[tuple[str, ...], Meta(min_length=1)]
    reads: tuple[NonEmptyText, ...] = ()
    limit: Limit | None = None
    timeout: Annotated[int, Meta(ge=1)] = 3600

    def __post_init__(self) -> None:
        if not self.argv[0].strip():
            raise ValueError("`argv` begins with an empty text - begin it with the program's name")
        if len(self.argv) == 1 and " " in self.argv[0]:
            raise ValueError('`argv` is run without a shell - write it as a list: ["python", "make_rows.py"]')

    def inputs(self) -> tuple[str, ...]:
        """Return `reads`, and the scripts of the project that `argv` names."""
        scripts = [word for word in self.argv if _SCRIPT.fullmatch(word) and not PurePosixPath(word).is_absolute()]
        return tuple(dict.fromkeys((*self.reads, *(str(PurePosixPath(script)) for script in scripts))))


ACCEPTED = "accepted.jsonl"  # file of an eval


class Answers(DataSource, frozen=True, kw_only=True, tag="answers"):
    """The answers of an eval that pass every check of its suite, as chat. Its rows have no splits.

    A dataset of them is built after the eval, and again when its answers change: rejection sampling, self-play.
    """

    eval: str
    limit: Limit | None = None

    def inputs(self) -> tuple[str, ...]:
        """Return the file of the eval."""
        return (f"reports/{self.eval}/{ACCEPTED}",)


def code_pair_to_chat(record: dict[str, Any]) -> dict[str, Any]:
    """Convert a pair of docstring and code, as in CodeSearchNet, to a request and its answer; keep other rows as is.

    A pair has `func_documentation_string` or `docstring`, and `func_code_string`, `whole_func_string`, `code` or
    `original_string`. Other text fields (repository, path, URL, license) stay; tokens and copies are removed.
    """
    docstring, code = (_first_text(record, keys) for keys in (_DOCSTRING_KEYS, _CODE_KEYS))
    if "messages" in record or not docstring or not code:
        return record
    language = str(record.get("language") or "python").lower()
    title = _first_text(record, _TITLE_KEYS)
    fence = max(["```", *(ticks + "`" for ticks in _BACKTICKS.findall(code))], key=len)
    called = f" called `{title}`" if title else ""
    request = f"Write a {_LANGUAGES.get(language, language.capitalize())} function{called}:\n\n{docstring}"
    messages = [
        {"role": "user", "content": request},
        {"role": "assistant", "content": f"{fence}{language}\n{code}\n{fence}"},
    ]
    own_keys = (*_DOCSTRING_KEYS, *_CODE_KEYS)
    fields = {key: value for key, value in record.items() if isinstance(value, str) and key not in own_keys}
    return {"messages": messages, **fields}


def _first_text(record: dict[str, Any], keys: tuple[str, ...]) -> str:
    """Return the first text that is not blank under these keys; code keeps the indentation of its first line."""
    texts = (value for key in keys if isinstance(value := record.get(key), str) and value.strip())
    return next(texts, "").strip("\r\n").rstrip()


AnySource = Sample | HandAuthored | Local | Hub | Http | Command | Answers
