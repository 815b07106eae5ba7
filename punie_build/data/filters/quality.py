"""Filters of text quality of Gopher (Rae et al. 2021) and C4 (Raffel et al. 2020), for assistants' answers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from punie_build.data.example import Example
from punie_build.data.filters.filter import Filter

STOP_WORDS = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~“”‘’…–—"
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*(?:\s|$)")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_TERMINAL = (".", "?", "!", '"', "'", "”", "’")

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class GopherQuality(Filter, frozen=True, kw_only=True, tag="gopher-quality"):
    """Keep examples whose answers, taken together, pass the quality rules of Gopher.

    The rules limit the number of words, their mean length, the share of hashes and ellipses to words, the shares of
    lines that begin with a bullet or end with an ellipsis, the share of words without a letter, and require
    `min_stop_words` different English stop words.
    """

    min_words: Count = 50
    max_words: Count = 100_000
    min_word_length: float = 3.0
    max_word_length: float = 10.0
    max_symbols: Share = 0.1
    max_bullet_lines: Share = 0.9
    max_ellipsis_lines: Share = 0.3
    max_words_without_letter: Share = 0.2
    min_stop_words: Count = 2

    def keep(self, example: Example) -> bool:
        text = "\n".join(example.texts("assistant"))
        words = text.split()
        plain = [word for word in words if word.strip(_PUNCTUATION)]  # words that are not only symbols
        if not self.min_words <= len(plain) <= self.max_words or not plain:
            return False
        if not self.min_word_length <= sum(map(len, plain)) / len(plain) <= self.max_word_length:
            return False
        symbols = max(text.count("#"), text.count("...") + text.count("…"))
        if symbols / len(words) > self.max_symbols:
            return False
        lines = text.splitlines()
        if _share(line.lstrip().startswith(("•", "-", "*")) for line in lines) > self.max_bullet_lines:
            return False
        if _share(line.rstrip().endswith(("...", "…")) for line in lines) > self.max_ellipsis_lines:
            return False
        if _share(not any(map(str.isalpha, word)) for word in words) > self.max_words_without_letter:
            return False
        return len(STOP_WORDS.intersection(word.strip(_PUNCTUATION).lower() for word in words)) >= self.min_stop_words


class C4Quality(Filter, frozen=True, kw_only=True, tag="c4-quality"):
    """Keep examples whose answers, taken together, pass the quality rules of C4.

    Lines count if they end in punctuation, have `min_words_per_line` words, and are not about JavaScript or cookies.
    These lines must have `min_sentences` sentences. "Lorem ipsum", and a curly bracket unless `curly_brackets` allows
    it, drop the example.
    """

    min_sentences: Count = 5
    min_words_per_line: Count = 3
    terminal_punctuation: bool = True
    curly_brackets: bool = False

    def keep(self, example: Example) -> bool:
        text = "\n".join(example.texts("assistant"))
        if "lorem ipsum" in text.lower() or (not self.curly_brackets and "{" in text):
            return False
        lines = [line.strip() for line in text.splitlines() if self._counts(line.strip())]
        return sum(max(len(_SENTENCE_END.findall(line)), 1) for line in lines) >= self.min_sentences

    def _counts(self, line: str) -> bool:
        if self.terminal_punctuation and (not line.endswith(_TERMINAL) or line.endswith("...")):
            return False
        lower = line.lower()
        if "javascript" in lower or any(phrase in lower for phrase in _POLICY):
            return False
        return len(line.split()) >= self.min_words_per_line


def _share(flags: Iterable[bool]) -> float:
    """Return the share of true values, 0 without values."""
    values = list(flags)
    return sum(values) / len(values) if values else 0.0
