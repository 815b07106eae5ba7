"""Normalize texts, and hash their words and word n-grams (shingles).

A word is a run of bytes without ASCII whitespace (as `bytes.split`); `words` turns all other whitespace into a space,
unifies case and Unicode form, and separates the characters of scripts that write no blanks between words, so callers
pass texts through `words` first: a word n-gram of Chinese is a character n-gram. The hashes are specified here: they
depend on no library version and no machine. Importing this module imports numpy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 18  # characters hashed at once: the arrays of a block fit into a core's cache

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

_LETTER, _WORD = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93  # bases of the two polynomials modulo 2**64, both odd
_SPACES = bytes(0 if byte in b" \t\n\r\v\f" else min(byte + 1, 255) for byte in range(256))  # UTF-8 has no byte 255
_LOWER = bytes(32 if chr(byte).isspace() else ord(chr(byte).lower()) for byte in range(128)) + bytes(128)
_INVISIBLE = re.compile(  # soft hyphens, joiners, marks of direction and byte order, and Arabic's stretched line
    "[\u00ad\u0640\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
)
_DIGITS = re.compile(r"\d+")
UNSPACED = (  # code points of scripts without blanks between words
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Tibetan, Burmese
    "\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"  # Khmer, Tai
    "\u2e80-\u2fff\u3000-\u312f\u3190-\u9fff\uf900-\ufaff"  # Chinese and Japanese
    "\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_UNSPACED_CHARACTER = re.compile(f"[{UNSPACED}][\u0300-\u036f\u3099\u309a]*")


def words(text: str) -> str:
    """Return the normalized text with a space between words, and around each character of scripts without blanks."""
    normalized = normalize(text)
    if normalized.isascii():
        return normalized
    separated, count = _UNSPACED_CHARACTER.subn(r" \g<0> ", normalized)
    return " ".join(separated.split()) if count else normalized


def normalize(text: str, digits: bool = False) -> str:
    """Return the text in NFKC and case-folded, with single spaces and without invisible characters.

    `digits` replaces each run of digits by "0".
    """
    if text.isascii():  # the same result, twice as fast
        lower = text.encode().translate(_LOWER)
        normalized = (b" ".join(lower.split()) if b"  " in lower else lower.strip()).decode()
    else:
        folded = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()
        normalized = " ".join(unicodedata.normalize("NFKC", folded).split())  # case folding can denormalize
    return _DIGITS.sub("0", normalized) if digits else normalized


def is_unspaced(text: str) -> bool:
    """Return whether most words of a text after `words` are characters of scripts without blanks."""
    return not text.isascii() and 2 * len(_UNSPACED_CHARACTER.findall(text)) > text.count(" ") + 1


def text_hash(text: str, digits: bool = False) -> bytes:
    """Return 16 bytes that are equal for texts whose normalized forms are equal."""
    return blake2b(utf8(normalize(text, digits)), digest_size=16).digest()


def shingle_hashes(texts: Sequence[str], size: int) -> tuple[Hashes, Indices]:
    """Return (hashes of the shingles of all texts in a row, index of each text's first shingle).

    A shingle's hash is the mixed polynomial of its words' hashes. Each text has at least one shingle: a text of fewer
    than `size` words is one shingle, padded with words of hash 0, and equals only the same short text.
    """
    words, begins = _word_hashes(texts)
    counts = np.diff(begins)
    shingle_counts = np.maximum(counts - size + 1, 1)
    starts = np.cumsum(shingle_counts) - shingle_counts
    if not len(texts):
        return words, starts
    words = np.concatenate([words, np.zeros(size, np.uint64)])
    windows = len(words) - size + 1
    rolling = np.zeros(windows, np.uint64)
    for step in range(size):
        rolling *= np.uint64(_WORD)
        rolling += words[step : step + windows]
    hashes = rolling[np.arange(int(shingle_counts.sum())) + np.repeat(begins[:-1] - starts, shingle_counts)]
    short = np.flatnonzero(counts < size)
    padded = np.zeros(len(short), np.uint64)
    for step in range(size):
        padded *= np.uint64(_WORD)
        padded += np.where(step < counts[short], words[np.minimum(begins[short] + step, len(words) - 1)], np.uint64(0))
    hashes[starts[short]] = padded
    return mix_bits(hashes), starts


def similarity_shingles(texts: Sequence[str], size: int) -> tuple[Hashes, Indices]:
    """Return `shingle_hashes`, with shingles of `size - 2` characters for texts of scripts without blanks.

    A word of these has about two characters, so `size` of them would be most of a short text.
    """
    short = [is_unspaced(text) for text in texts]
    if not any(short):
        return shingle_hashes(texts, size)
    parts: list[Hashes] = [np.empty(0, np.uint64)] * len(texts)
    for unspaced, width in ((False, size), (True, max(size - 2, 1))):
        numbers = [number for number, flag in enumerate(short) if flag is unspaced]
        hashes, starts = shingle_hashes([texts[number] for number in numbers], width)
        for number, part in zip(numbers, np.split(hashes, starts[1:]), strict=False):
            parts[number] = part
    lengths = np.array([len(part) for part in parts])
    return np.concatenate(parts), np.cumsum(lengths) - lengths


def ngram(text: str, word: int, n: int) -> str:
    """Return `n` words of a text, from number `word` on."""
    return b" ".join(utf8(text).split()[word : word + n]).decode("utf-8", "surrogatepass")


def text_blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of about `BLOCK` characters."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def mix_bits(x: Hashes) -> Hashes:
    """Apply splitmix64's finalizer: a permutation of 64 bits in which each output bit depends on all input bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def utf8(text: str) -> bytes:
    """Encode a text; a lone surrogate is encoded too, so that no text is refused."""
    return text.encode("utf-8", "surrogatepass")


def _word_hashes(texts: Sequence[str]) -> tuple[Hashes, Indices]:
    """Return (hash of every word of all texts, index of each text's first word and the end of the last).

    A word's hash is a polynomial of its bytes.
    """
    encoded = [utf8(text) for text in texts]
    raw = np.frombuffer((b" " + b" ".join(encoded) + b" ").translate(_SPACES), np.uint8)
    ends = np.cumsum([1, *(len(part) + 1 for part in encoded)])
    inside = raw != 0
    starts = np.flatnonzero(inside[1:] > inside[:-1]) + 1
    if not len(starts):
        return np.empty(0, np.uint64), np.zeros(len(encoded) + 1, np.int64)
    powers, inverses = _powers(max(len(raw) - 1, BLOCK).bit_length())
    sums = np.add.reduceat(raw * powers[: len(raw)], starts)
    return mix_bits(sums * inverses[starts]), np.searchsorted(starts, ends)


@lru_cache(maxsize=4)
def _powers(bits: int) -> tuple[Hashes, Hashes]:
    """Return the first 2**bits powers of `_LETTER` and of its inverse modulo 2**64."""
    factors = np.full((2, 1 << bits), _LETTER, np.uint64)
    factors[1] = pow(_LETTER, -1, 1 << 64)
    factors[:, 0] = 1
    powers = np.multiply.accumulate(factors, axis=1)
    return powers[0], powers[1]
