"""Downloads: what a dataset's source names and the project does not hold, as files: from the web, the Hub, a program.

Everything is known by content or commit, so what is here once is never asked for again, and all works offline from then on.
Only whole, checked files get their names. To add a kind: a function that gives files, and a source that says what it needs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

from filelock import FileLock

from punie_build.data.readers import records
from punie_build.errors import DataError
from punie_build.runtime.child import EXEC_PROGRAM, Child
from punie_build.runtime.console import ProgressBar
from punie_build.schema.spec import digest
from punie_build.storage import paths

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
MIB = 2**20
PLACE = f"{paths.STATE}/downloads"
PATIENCE = 30.0  # seconds a server may be silent


def http(root: Path, url: str, sha256: str, form: str, max_mb: int = 20_000) -> Path:
    """The file at an address, once it has this digest; called `.punie/downloads/<sha256>.<form>`.

    A file that is there is read and compared, not asked for again: one put there by hand serves as well. Raises DataError
    if it cannot be had, is another one, or is larger than `max_mb` MiB.
    """
    place = root / PLACE / f"{sha256}.{form}"
    with _alone(root, place.name):
        if place.exists() and _sha256(place) == sha256:
            return place
        part = place.with_name(f"{place.name}.part")
        try:
            with part.open("wb") as file, _answer(url, {}, f"put it at {records.shown(place)} by hand") as answer:
                found = _save(answer, file, url, max_mb)
            if found != sha256:
                raise DataError(
                    f"{_bare(url)}: its sha256 is {found}, the recipe says {sha256} - the file changed, or is not the one: look at it, then correct `sha256`"
                )
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    return place


def hub(
    root: Path,
    repo: str,
    revision: str,
    files: Iterable[str] = (),
    split: str | None = None,
    config: str | None = None,
    limit: int | None = None,
) -> list[tuple[str | None, Path]]:
    """Data files of a dataset of the Hub at a commit, each with its side, or None if all are of one.

    With `limit`, files until each side has so many rows: lines are streamed so far and no further, other formats come whole.
    Whole files are kept in the Hub's own cache, beginnings of files in `.punie/downloads`. Raises DataError.
    """
    listed = _asked(repo, revision, lambda: _listing(repo, revision))
    names = choose(listed, tuple(files), split, config)
    if not names:
        known = [name for name in listed if records.kind(name)]
        raise DataError(
            f"{_at(repo, revision)}: no such data file - name them with `files`; it has: {', '.join(known[:20]) or 'none that is read here'}"
        )
    pairs = records.sided(names)
    if len({side for side, _ in pairs}) == 1:
        pairs = [(None, name) for _, name in pairs]
    found: list[tuple[str | None, Path]] = []
    left = {side: limit for side, _ in pairs}
    with ProgressBar(f"downloading {repo}", len(pairs)) as bar:
        for done, (side, name) in enumerate(pairs):
            bar(done, name)
            rows = left[side]
            if rows != 0:
                path = _file(root, repo, revision, name, rows)
                found.append((side, path))
                left[side] = rows and rows - sum(1 for _ in islice(records.records(path), rows))
    return found


def choose(names: Iterable[str], files: tuple[str, ...], split: str | None, config: str | None) -> list[str]:
    """Those of a repo's files that a recipe asks for, sorted. A pattern's `*` matches `/` too, as everywhere on the Hub."""
    known = sorted(name for name in names if records.kind(name))
    if files:
        return [name for name in known if any(name == each or fnmatchcase(name, each) for each in files)]
    return [
        name
        for name in known
        if (split is None or _of_split(name, split)) and (config is None or _of_config(name, config))
    ]


def command(root: Path, argv: tuple[str, ...], folder: Path, timeout: float = 3600) -> Path:
    """Run a program in the project's folder; what it printed, as `rows.jsonl` in `folder`, its complaints beside it.

    No shell, no input; its process group ends with it, with the build, and after `timeout` seconds. Raises DataError with
    its last words if it fails.
    """
    name = " ".join(argv) if len(" ".join(argv)) <= 60 else argv[0]
    program = sys.executable if argv[0] in ("python", "python3") else argv[0]
    if not shutil.which(root / program if "/" in program else program):
        raise DataError(f"{name}: no program '{program}' - install it, or correct `argv`")
    folder.mkdir(parents=True, exist_ok=True)
    rows, log = folder / "rows.jsonl", folder / "stderr.log"
    with rows.open("wb") as output, _Program((program, *argv[1:]), root, output, log) as child:
        try:
            code = child.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DataError(f"{name}: not done after {timeout:g} s - raise `timeout`, or let it print less") from None
    if code:
        raise DataError(
            f"{name}: ended with exit code {code} - the end of {records.shown(log)}:\n{child.tail() or '    (empty)'}"
        )
    return rows


class _Program(Child):
    """A child that is any program: what it prints goes to `output`, what it complains of to `log`."""

    def __init__(self, argv: tuple[str, ...], root: Path, output: IO[bytes], log: Path) -> None:
        super().__init__(argv[0], list(argv[1:]), log, {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")})
        self.working_directory, self.output = root, output

    def command(self, parent_pipe: int) -> list[str]:
        return [sys.executable, "-P", "-c", EXEC_PROGRAM, str(parent_pipe), self.module, *self.arguments]

    def stop(self) -> int:
        """End it, and whatever it started and left behind: nothing more is printed after this."""
        code = super().stop()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return code


def _of_split(name: str, word: str) -> bool:
    """Whether a file is called by a split: `train_sft-00000.parquet`, `en-test.jsonl`, `train/0.json`; `val` is `validation`."""
    own, folders = records.stem(name), PurePosixPath(name).parts[:-1]
    return (
        own == word
        or any(own.endswith(sign + word) for sign in "-_.")
        or (word in folders and own not in records.SIDES)
        or (word in records.SIDES and records.side(name) == records.SIDES[word])
    )


def _of_config(name: str, word: str) -> bool:
    """Whether a file is called by a config: `en/train.jsonl`, `en-train.jsonl`, `en.jsonl`."""
    own, folders = records.stem(name), PurePosixPath(name).parts[:-1]
    return own == word or word in folders or any(own.startswith(word + sign) for sign in "-_.")


def _listing(repo: str, revision: str) -> list[str]:
    """The names of a dataset's files: asked for once, then kept in the Hub's cache: a commit does not change."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        tree = get_cached_repo_tree(repo, repo_type="dataset", revision=revision)
    except CachedRepoTreeNotFoundError:
        snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=["README.md"])  # with the list
        tree = get_cached_repo_tree(repo, repo_type="dataset", revision=revision)
    return [file.path for file in tree]


def _file(root: Path, repo: str, revision: str, name: str, rows: int | None) -> Path:
    """A file of a dataset, or its first lines, if so many rows are enough and it has lines."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    form = records.kind(name) or ""
    if rows is not None and form.partition(".")[0] in ("jsonl", "ndjson"):
        kept = try_to_load_from_cache(repo, name, repo_type="dataset", revision=revision)
        return Path(kept) if isinstance(kept, str) else _begin(root, repo, revision, name, rows)
    path = _asked(repo, revision, lambda: hf_hub_download(repo, name, repo_type="dataset", revision=revision))
    return Path(path)


def _begin(root: Path, repo: str, revision: str, name: str, rows: int) -> Path:
    """The first lines of a file of the Hub, streamed, unpacked, as `.punie/downloads/<digest>/<name>.jsonl`.

    Beside it its sha256, by which a second call knows that it is whole.
    """
    folder = root / PLACE / digest([repo, revision, name, rows])[:32]
    place, seal = folder / f"{records.stem(name)}.jsonl", folder / "sha256"
    with _alone(root, folder.name):
        if place.exists() and seal.exists() and seal.read_text() == _sha256(place):
            return place
        folder.mkdir(parents=True, exist_ok=True)
        seal.unlink(missing_ok=True)
        _stream(repo, revision, name, rows, place)
        seal.write_text(_sha256(place))
    return place


def _stream(repo: str, revision: str, name: str, rows: int, place: Path) -> None:
    """Write the first lines of a file of the Hub. The connection is closed as soon as they are there."""
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise DataError(f"{_at(repo, revision)}: {name} is not on this machine - HF_HUB_OFFLINE is set: unset it")
    url = hf_hub_url(repo, name, repo_type="dataset", revision=revision)
    headers, count = {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}, 0
    try:
        with place.open("wb") as file, _answer(url, headers, "or take another `revision`") as answer:
            for lines in records.split(records.unpacked(answer.iter_raw(MIB), records.kind(name) or "")):
                file.writelines(line + b"\n" for line in lines[: rows - count])
                count += len(lines)
                if count >= rows:
                    break
    except records.DamagedError as error:
        raise DataError(f"{url}: damaged or cut short ({error}) - take another file or `revision`") from None


def _asked(repo: str, revision: str, ask: Callable[[], T]) -> T:
    """What huggingface_hub answers. Raises DataError for whatever it or its HTTP client raise."""
    from huggingface_hub import constants

    try:
        return ask()
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if constants.HF_HUB_OFFLINE:
            hint = "HF_HUB_OFFLINE is set: unset it"
        elif status in (401, 403):
            hint = "log in with `hf auth login`, and accept its terms on its page if it has any"
        else:
            hint = "check the name, the revision and the network"
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{_at(repo, revision)}: cannot be downloaded ({reason}) - {hint}") from None


def _at(repo: str, revision: str) -> str:
    return f"{repo}@{revision}"


def _bare(url: str) -> str:
    """An address without its query, which may hold a key, for messages."""
    return url.partition("?")[0]


@contextmanager
def _answer(url: str, headers: Mapping[str, str], hint: str) -> Iterator[httpx.Response]:
    """The body of a page as the server sends it, unpacked by nobody. Redirects are followed, to http and https only."""
    import httpx

    where = _bare(url)
    try:
        with httpx.stream(
            "GET",
            url,
            headers={**headers, "Accept-Encoding": "identity"},
            follow_redirects=True,
            timeout=PATIENCE,
        ) as answer:
            if answer.status_code != 200:
                raise DataError(f"{where}: the server answers {answer.status_code} - check the address, {hint}")
            yield answer
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{where}: cannot be downloaded ({reason}) - check the address and the network, {hint}"
        ) from None


def _save(answer: httpx.Response, file: IO[bytes], url: str, max_mb: int) -> str:
    """Write the body to a file; its sha256."""
    size, sha, most = int(answer.headers.get("Content-Length") or 0), hashlib.sha256(), max_mb * MIB
    too_large = DataError(f"{_bare(url)}: larger than {max_mb} MiB - raise `max_mb`, if it is the right file")
    if size > most:
        raise too_large
    with ProgressBar(f"downloading {PurePosixPath(_bare(url)).name[:40]} (MiB)", size // MIB) as bar:
        for piece in answer.iter_raw(MIB):
            sha.update(piece)
            if answer.num_bytes_downloaded > most:
                raise too_large
            file.write(piece)
            bar(answer.num_bytes_downloaded // MIB)
    return sha.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(root: Path, name: str) -> Iterator[None]:
    """One download of a file at a time on this machine; the others wait, and find it there."""
    lock = root / paths.guard(f"downloads/{name}")
    lock.parent.mkdir(parents=True, exist_ok=True)
    (root / PLACE).mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield
