"""Download a base from the Hugging Face Hub into its own cache: resumed, verified, and only where there is space.

The client of the Hub begins an interrupted file anew. So weights, which are large, are downloaded here to a file beside
their final place, `blobs/SHA256.part`, and continued there by the next build. The client downloads the other files, and
links all of them into the snapshot.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from msgspec import Struct

from punie_build.errors import ModelError
from punie_build.runtime.console import ProgressBar
from punie_build.storage import atomic

# what mlx-lm reads: some repositories hold all weights a second time, as consolidated.safetensors
PATTERNS = ("*.json", "model*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken", "README.md")
BLOCK, MIB = 1 << 20, 1 << 20
TIMEOUT_SECONDS = 30.0  # without a byte from the server


class RemoteFile(Struct, frozen=True):
    """A file of the listing. `sha256` is that of its content, "" for small files, which git names."""

    path: str
    size: int
    sha256: str


def cache_folder(repo: str) -> Path:
    """Return the folder of a repository in the cache of the Hub."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")


def snapshot(repo: str, revision: str) -> Path:
    """Return the folder of a commit in the cache, which may lack files, or not exist."""
    return cache_folder(repo) / "snapshots" / revision


def download(repo: str, revision: str) -> Path:
    """Download the files of a commit that the cache lacks, and return its folder.

    Raises ModelError, and errors of the Hub.
    """
    from huggingface_hub import snapshot_download

    blobs = cache_folder(repo) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    missing = list(_missing(repo, revision))
    _check_disk_space(repo, missing, blobs)
    for file in missing:
        if file.sha256:
            _download_blob(repo, revision, file, blobs / file.sha256)
    return Path(snapshot_download(repo, revision=revision, allow_patterns=[*PATTERNS]))


def _missing(repo: str, revision: str) -> Iterator[RemoteFile]:
    """Yield the files of the listing that the cache lacks."""
    from huggingface_hub import HfApi, RepoFile

    for file in HfApi().list_repo_tree(repo, revision=revision, recursive=True):
        if isinstance(file, RepoFile) and any(fnmatch(file.path, pattern) for pattern in PATTERNS):
            sha256 = file.lfs.sha256 if file.lfs else ""
            blob = cache_folder(repo) / "blobs" / (sha256 or file.blob_id)
            if not blob.exists() and not (snapshot(repo, revision) / file.path).exists():
                yield RemoteFile(file.path, file.size, sha256)


def _check_disk_space(repo: str, files: list[RemoteFile], blobs: Path) -> None:
    parts = sum(part.stat().st_size for file in files if (part := blobs / f"{file.sha256}.part").is_file())
    need, free = sum(file.size for file in files) - parts, shutil.disk_usage(blobs).free
    if need > free:
        raise ModelError(
            f"{repo}: {need / 2**30:.1f} GiB to download, {free / 2**30:.1f} GiB are free for the cache of the Hub - "
            "free some, or set HF_HOME to another disk"
        )


def _bar(file: RemoteFile, part: Path) -> ProgressBar:
    initial = part.stat().st_size // MIB if part.exists() else 0
    return ProgressBar(f"downloading {file.path[-40:]} (MiB)", file.size // MIB, initial)


def _download_blob(repo: str, revision: str, file: RemoteFile, blob: Path) -> None:
    """Download a file to its place among the blobs, from the byte where an earlier download stopped."""
    import httpx
    from filelock import FileLock
    from huggingface_hub import get_token, hf_hub_url

    part = blob.with_name(f"{blob.name}.part")
    with FileLock(f"{part}.lock"), _bar(file, part) as bar:
        if blob.exists():  # another build downloaded it
            return
        sha = hashlib.sha256()
        with part.open("ab+") as out:
            out.seek(0)
            while block := out.read(BLOCK):
                sha.update(block)
            first = out.tell()
            if first < file.size:
                headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={first}-"} if first else {})
                headers |= {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}
                url = hf_hub_url(repo, file.path, revision=revision)
                with httpx.stream(
                    "GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_SECONDS
                ) as answer:
                    answer.raise_for_status()
                    if first and answer.status_code != 206:  # the server sends the whole file
                        out.truncate(0)
                        sha, first = hashlib.sha256(), 0
                    for block in answer.iter_raw(BLOCK):
                        sha.update(block)
                        out.write(block)
                        out.flush()
                        bar((first + answer.num_bytes_downloaded) // MIB)
        if (actual := sha.hexdigest()) != file.sha256:
            part.unlink()
            raise ModelError(
                f"{repo}@{revision}: {file.path}: its sha256 is {actual[:12]}, the listing of the Hub says "
                f"{file.sha256[:12]} - it was removed: build again to download it once more"
            )
        atomic.publish_file(part, blob)
    Path(f"{part}.lock").unlink(missing_ok=True)
