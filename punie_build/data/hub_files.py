"""Data files of a dataset on the Hugging Face Hub, at a commit.

Complete files stay in the Hub's own cache, first lines of files in `.punie/downloads`. A commit does not change, so
that builds work offline once its files are cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TypeVar

from punie_build.data.downloads import FOLDER, MIB, download_lock, file_sha256, open_url
from punie_build.data.readers.compression import DamagedError, decompress
from punie_build.data.readers.discovery import SPLIT_NAMES, format_of, split_of, stem, with_splits
from punie_build.data.readers.lines import split_lines
from punie_build.data.readers.records import read_records
from punie_build.errors import DataError
from punie_build.runtime.console import ProgressBar
from punie_build.schema.spec import digest

T = TypeVar("T")


def download_dataset(
    root: Path,
    repo: str,
    revision: str,
    files: Iterable[str] = (),
    split: str | None = None,
    config: str | None = None,
    limit: int | None = None,
) -> list[tuple[str | None, Path]]:
    """Download data files of a dataset, each with its split, or None if all are of one split. Raises DataError.

    With `limit`, files are downloaded until each split has this many rows: files of lines are streamed up to the limit,
    other formats are downloaded completely.
    """
    repo_files = _call_hub(repo, revision, lambda: _list_files(repo, revision))
    names = select_files(repo_files, tuple(files), split, config)
    if not names:
        supported = ", ".join([name for name in repo_files if format_of(name)][:20])
        raise DataError(
            f"{repo}@{revision}: no such data file - name files with `files`;"
            f" it has: {supported or 'none in a supported format'}"
        )
    pairs = with_splits(names)
    if len({split_name for split_name, _ in pairs}) == 1:
        pairs = [(None, name) for _, name in pairs]
    paths: list[tuple[str | None, Path]] = []
    remaining = {split_name: limit for split_name, _ in pairs}
    with ProgressBar(f"downloading {repo}", len(pairs)) as bar:
        for index, (split_name, name) in enumerate(pairs):
            bar(index, name)
            rows = remaining[split_name]
            if rows != 0:
                path = _download_file(root, repo, revision, name, rows)
                if root / FOLDER not in path.parents:  # else it is only the first lines
                    check_digest(path, f"{repo}@{revision}: {name}", repo_files[name])
                paths.append((split_name, path))
                remaining[split_name] = rows and rows - sum(1 for _ in islice(read_records(path), rows))
    return paths


def select_files(names: Iterable[str], files: tuple[str, ...], split: str | None, config: str | None) -> list[str]:
    """Return the files of a repository that a recipe selects, sorted. `*` in a pattern matches `/`, as on the Hub."""
    supported = sorted(name for name in names if format_of(name))
    if files:
        return [name for name in supported if any(name == file or fnmatchcase(name, file) for file in files)]
    return [
        name
        for name in supported
        if (split is None or _is_of_split(name, split)) and (config is None or _is_of_config(name, config))
    ]


def _is_of_split(name: str, split: str) -> bool:
    """Whether a file's name states this split: `train_sft-00000.parquet`, `en-test.jsonl`, `train/0.json`.

    `val` and `validation` are the same split.
    """
    base, folders = stem(name), PurePosixPath(name).parts[:-1]
    return (
        base == split
        or any(base.endswith(separator + split) for separator in "-_.")
        or (split in folders and base not in SPLIT_NAMES)
        or (split in SPLIT_NAMES and split_of(name) == SPLIT_NAMES[split])
    )


def _is_of_config(name: str, config: str) -> bool:
    """Whether a file's name states this config: `en/train.jsonl`, `en-train.jsonl`, `en.jsonl`."""
    base, folders = stem(name), PurePosixPath(name).parts[:-1]
    return base == config or config in folders or any(base.startswith(config + separator) for separator in "-_.")


def _list_files(repo: str, revision: str) -> dict[str, str]:
    """Return the sha256 of each file of a dataset, "" for small files, which git names; requested once and then read
    from the Hub's cache."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        tree = get_cached_repo_tree(repo, repo_type="dataset", revision=revision)
    except CachedRepoTreeNotFoundError:
        snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=["README.md"])  # caches the tree
        tree = get_cached_repo_tree(repo, repo_type="dataset", revision=revision)
    return {file.path: file.lfs.sha256 if file.lfs else "" for file in tree}


def check_digest(path: Path, where: str, sha256: str) -> None:
    """Raise DataError if a file is not the one that the listing of the Hub names."""
    if sha256 and (actual := file_sha256(path)) != sha256:
        raise DataError(
            f"{where}: its sha256 is {actual[:12]}, the listing of the Hub says {sha256[:12]}"
            f" - remove {path} to download it once more"
        )


def _download_file(root: Path, repo: str, revision: str, name: str, rows: int | None) -> Path:
    """Download a file, or only its first lines, if the number of rows is limited and the format has lines."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if rows is not None and (format_of(name) or "").partition(".")[0] in ("jsonl", "ndjson"):
        cached = _call_hub(
            repo, revision, lambda: try_to_load_from_cache(repo, name, repo_type="dataset", revision=revision)
        )
        return Path(cached) if isinstance(cached, str) else _download_head(root, repo, revision, name, rows)
    path = _call_hub(repo, revision, lambda: hf_hub_download(repo, name, repo_type="dataset", revision=revision))
    return Path(path)


def _download_head(root: Path, repo: str, revision: str, name: str, rows: int) -> Path:
    """Stream the first lines of a file, decompressed, to `.punie/downloads/<digest>/<name>.jsonl`.

    The file `sha256` beside it proves to the next call that the lines are complete.
    """
    folder = root / FOLDER / digest([repo, revision, name, rows])[:32]
    path, checksum = folder / f"{stem(name)}.jsonl", folder / "sha256"
    with download_lock(root, folder.name):
        if path.exists() and checksum.exists() and checksum.read_text() == file_sha256(path):
            return path
        folder.mkdir(parents=True, exist_ok=True)
        checksum.unlink(missing_ok=True)
        _stream_lines(repo, revision, name, rows, path)
        checksum.write_text(file_sha256(path))
    return path


def _stream_lines(repo: str, revision: str, name: str, rows: int, path: Path) -> None:
    """Write the first lines of a file of the Hub, and close the connection as soon as there are enough."""
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise DataError(f"{repo}@{revision}: {name} is not cached, and HF_HUB_OFFLINE is set - unset HF_HUB_OFFLINE")
    url = hf_hub_url(repo, name, repo_type="dataset", revision=revision)
    headers, count = {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}, 0
    try:
        with path.open("wb") as file, open_url(url, headers, "use another `revision`") as response:
            for lines in split_lines(decompress(response.iter_raw(MIB), format_of(name) or "")):
                file.writelines(line + b"\n" for line in lines[: rows - count])
                count += len(lines)
                if count >= rows:
                    break
    except DamagedError as error:
        raise DataError(f"{url}: damaged or truncated ({error}) - use another file or `revision`") from None


def _call_hub(repo: str, revision: str, request: Callable[[], T]) -> T:
    """Return the result of a request of huggingface_hub. Raises DataError for any error of it or of its HTTP client."""
    from huggingface_hub import constants

    try:
        return request()
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if constants.HF_HUB_OFFLINE:
            hint = "HF_HUB_OFFLINE is set: unset it"
        elif status in (401, 403):
            hint = "log in with `hf auth login`, and accept the terms on the dataset's page if it has any"
        else:
            hint = "check the name, the revision and the network"
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{repo}@{revision}: cannot be downloaded ({reason}) - {hint}") from None
