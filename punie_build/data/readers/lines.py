"""Lines: content split at line feeds, independent of chunk boundaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from punie_build.data.jsonl import MAX_LINE_BYTES


def split_lines(chunks: Iterable[bytes], keep_returns: bool = False) -> Iterator[list[bytes]]:
    """Yield the lines of each chunk, without line feeds; carriage returns before them stay only with `keep_returns`.

    A line above MAX_LINE_BYTES is truncated to MAX_LINE_BYTES + 1, so that it is never whole in memory.
    """
    rest = b""
    for chunk in chunks:
        if len(rest) > MAX_LINE_BYTES and b"\n" not in chunk:
            continue
        lines = chunk.split(b"\n")
        lines[0] = rest + lines[0]
        if len(rest) + len(chunk) > MAX_LINE_BYTES:
            lines = [line[: MAX_LINE_BYTES + 1] for line in lines]
        rest = lines.pop()
        if not keep_returns and (b"\r" in chunk or (lines and lines[0].endswith(b"\r"))):
            lines = [line.rstrip(b"\r") for line in lines]
        if lines:
            yield lines
    if rest:
        yield [rest if keep_returns else rest.rstrip(b"\r")]
