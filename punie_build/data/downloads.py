"""Files of the web, downloaded once and verified by their digest, under `.punie/downloads`.

A file is known by its content, so it is never requested twice, and builds work offline from then on. A file gets its
final name only when it is complete and verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from filelock import FileLock

from punie_build.data.readers.record import display_path
from punie_build.errors import DataError
from punie_build.runtime.console import ProgressBar
from punie_build.storage import atomic, paths

if TYPE_CHECKING:
    import httpx

MIB = 2**20
FOLDER = f"{paths.STATE}/downloads"
TIMEOUT_SECONDS = 30.0  # without a byte from the server


def download_http(root: Path, url: str, sha256: str, form: str, max_mb: int = 20_000) -> Path:
    """Download the file at a URL to `.punie/downloads/<sha256>.<form>`, and return its path.

    An existing file with this digest is not requested again, also one that the user put there. Raises DataError if the
    download fails, if the digest differs, or if the file is larger than `max_mb` MiB.
    """
    path = root / FOLDER / f"{sha256}.{form}"
    with download_lock(root, path.name):
        if path.exists() and file_sha256(path) == sha256:
            return path
        part = path.with_name(f"{path.name}.part")
        hint = f"save the file as {display_path(path)} by hand"
        try:
            with part.open("wb") as file, open_url(url, {}, hint) as response:
                digest = _save(response, file, url, max_mb)
            if digest != sha256:
                raise DataError(
                    f"{_without_query(url)}: its sha256 is {digest}, the recipe says {sha256}"
                    " - the file changed, or is another one: check it, then correct `sha256`"
                )
            atomic.publish_file(part, path)
        finally:
            part.unlink(missing_ok=True)
    return path


@contextmanager
def open_url(url: str, headers: Mapping[str, str], hint: str) -> Iterator[httpx.Response]:
    """Stream the body of a response without decoding it. Redirects are followed, to http and https only.

    Raises DataError, with `hint` as its fix, if the request fails or the status is not 200.
    """
    import httpx

    where = _without_query(url)
    try:
        with httpx.stream(
            "GET",
            url,
            headers={**headers, "Accept-Encoding": "identity"},
            follow_redirects=True,
            timeout=TIMEOUT_SECONDS,
        ) as response:
            if response.status_code != 200:
                raise DataError(f"{where}: the server answers {response.status_code} - check the address, or {hint}")
            yield response
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{where}: cannot be downloaded ({reason}) - check the address and the network, or {hint}"
        ) from None


def _without_query(url: str) -> str:
    """Return a URL without its query, which may hold a key: for messages."""
    return url.partition("?")[0]


def _save(response: httpx.Response, file: IO[bytes], url: str, max_mb: int) -> str:
    """Write the body to a file, and return its sha256."""
    size, sha, max_bytes = int(response.headers.get("Content-Length") or 0), hashlib.sha256(), max_mb * MIB
    too_large = DataError(f"{_without_query(url)}: larger than {max_mb} MiB - raise `max_mb`, if it is the right file")
    if size > max_bytes:
        raise too_large
    with ProgressBar(f"downloading {PurePosixPath(_without_query(url)).name[:40]} (MiB)", size // MIB) as bar:
        for chunk in response.iter_raw(MIB):
            sha.update(chunk)
            if response.num_bytes_downloaded > max_bytes:
                raise too_large
            file.write(chunk)
            bar(response.num_bytes_downloaded // MIB)
    return sha.hexdigest()


def file_sha256(path: Path) -> str:
    """Compute the sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def download_lock(root: Path, name: str) -> Iterator[None]:
    """Hold the lock of one download. Other builds on this machine wait for it, and then use the downloaded file."""
    lock = root / paths.build_lock(f"downloads/{name}")
    lock.parent.mkdir(parents=True, exist_ok=True)
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield
