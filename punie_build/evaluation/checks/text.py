"""Checks of the text of an answer, of its finish reason and of its response time."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from punie_build.evaluation.checks.check import Check, Reference
from punie_build.evaluation.checks.json_text import Scope, json_values, schema_mistake
from punie_build.evaluation.checks.matchers import MISSING, compile_pattern, loose_form, occurs, to_matcher
from punie_build.evaluation.checks.response import PASS, Answer, CheckResult

Words = Annotated[tuple[str, ...], Meta(min_length=1)]
EMPTY = CheckResult(0.0, "empty", "the answer is empty")
NOT_JSON = CheckResult(0.0, "wrong words", "not JSON")


class Keywords(Check, frozen=True, kw_only=True, tag="keywords"):
    """Pass answers that contain every keyword, ignoring case. The score is the fraction of keywords that occur."""

    words: Words

    def score(self, answer: Answer) -> CheckResult:
        missing = [word for word in self.words if word.lower() not in answer.content.lower()]
        score = 1 - len(missing) / len(self.words)
        return CheckResult(score, "keyword missing", f"no {', '.join(missing)}") if missing else PASS

    def reference(self) -> Reference:
        return Reference(words=self.words)


class Contains(Check, frozen=True, kw_only=True, tag="contains"):
    """Pass answers that contain `all` or `any` of the words.

    `whole`: only complete words match, so that "ls" does not match "tools". `case`: case matters.
    """

    words: Words
    mode: Literal["all", "any"] = "all"
    case: bool = False
    whole: bool = False

    def score(self, answer: Answer) -> CheckResult:
        missing = [word for word in self.words if not contains_word(word, answer.content, self.case, self.whole)]
        if self.mode == "any" and len(missing) < len(self.words):
            return PASS
        score = 0.0 if self.mode == "any" else 1 - len(missing) / len(self.words)
        return CheckResult(score, "keyword missing", f"no {', '.join(missing)}") if missing else PASS

    def reference(self) -> Reference:
        return Reference(words=self.words[:1] if self.mode == "any" else self.words)


class NotContains(Check, frozen=True, kw_only=True, tag="not-contains"):
    """Pass answers that are not empty and contain none of the words.

    The score is the fraction of words that do not occur.
    """

    words: Words
    case: bool = False
    whole: bool = False

    def score(self, answer: Answer) -> CheckResult:
        if not answer.content.strip() and not answer.calls:
            return EMPTY
        present = [word for word in self.words if contains_word(word, answer.content, self.case, self.whole)]
        score = 1 - len(present) / len(self.words)
        return CheckResult(score, "wrong words", f"contains {', '.join(present)}") if present else PASS


def contains_word(word: str, text: str, case: bool, whole: bool) -> bool:
    """Return whether a text contains a word: with `case` case matters, with `whole` only complete words match."""
    if not case:
        word, text = word.casefold(), text.casefold()
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None if whole else word in text


class MatchesRegex(Check, frozen=True, kw_only=True, tag="regex"):
    """Pass answers in which the pattern occurs.

    `whole`: it must match the complete text. Write `(?i)` first to ignore case.
    """

    pattern: str
    whole: bool = False

    def __post_init__(self) -> None:
        compile_pattern(self.pattern)

    def score(self, answer: Answer) -> CheckResult:
        text = answer.content.strip() if self.whole else answer.content
        return (
            PASS
            if occurs(self.pattern, text, self.whole)
            else CheckResult(0.0, "wrong words", f"no match of {self.pattern}")
        )

    def reference(self) -> None:
        return None


class Equals(Check, frozen=True, kw_only=True, tag="equals"):
    """Pass answers that equal this text, ignoring space around it. `loose`: ignore case, spaces and punctuation too."""

    text: str
    loose: bool = False

    def score(self, answer: Answer) -> CheckResult:
        actual, expected = answer.content.strip(), self.text.strip()
        equal = loose_form(actual) == loose_form(expected) if self.loose else actual == expected
        return PASS if equal else CheckResult(0.0, "wrong words", f"expected {expected!r}")

    def reference(self) -> Reference:
        return Reference(text=self.text)


class Json(Check, frozen=True, kw_only=True, tag="json"):
    """Pass answers that are JSON, contain all of `value`, and fit `schema`. Objects may have further keys.

    Values are matched like the arguments of calls. The score is the fraction of leaves that match. `find`: the JSON is
    the `whole` text; or is `fenced`, in a code fence of the text; or `anywhere`, also inside a sentence: one of several
    must pass.
    """

    value: Any = UNSET
    schema: dict[str, Any] | UnsetType = UNSET
    find: Scope = "fenced"

    def __post_init__(self) -> None:
        if self.value is not UNSET:
            require_matchers(self.value)

    def score(self, answer: Answer) -> CheckResult:
        results = [self._score(value) for value in json_values(answer.content, self.find)]
        return max(results, key=lambda result: (result.passed, result.score), default=NOT_JSON)

    def _score(self, actual: Any) -> CheckResult:
        mistake = "" if self.schema is UNSET else schema_mistake(self.schema, actual)
        if mistake:
            return CheckResult(0.0, "wrong words", mistake)
        return PASS if self.value is UNSET else compare_json(self.value, actual, "wrong words")

    def reference(self) -> Reference | None:
        if self.value is UNSET:
            return Reference(text="{}") if self.schema is UNSET else None
        example = _example(self.value)
        return Reference(text=json.dumps(example)) if self._score(example).passed else None


def require_matchers(expected: Any) -> None:
    """Raise ValueError for an invalid matcher in an expected value."""
    _leaves(expected, MISSING)


def compare_json(expected: Any, actual: Any, failure: str) -> CheckResult:
    """Return the fraction of the leaves of `expected` that match, and the places of the others."""
    leaves = _leaves(expected, actual)
    wrong = [path for path, matches in leaves if not matches]
    score = 1 - len(wrong) / len(leaves) if leaves else 1.0
    return CheckResult(score, failure, f"wrong at {', '.join(wrong)}") if wrong else PASS


def _leaves(expected: Any, actual: Any, path: str = "$") -> list[tuple[str, bool]]:
    """Return (path, whether it matches) for every leaf of `expected`: values, matchers and lengths of lists."""
    if isinstance(expected, dict) and "match" not in expected:
        table = actual if isinstance(actual, dict) else {}
        leaves = [_leaves(item, table.get(key, MISSING), f"{path}.{key}") for key, item in expected.items()]
        return [leaf for group in leaves for leaf in group] or [(path, isinstance(actual, dict))]
    if isinstance(expected, list | tuple):
        items = actual if isinstance(actual, list) else []
        padded = [*items, *[MISSING] * len(expected)]
        leaves = [_leaves(item, padded[index], f"{path}[{index}]") for index, item in enumerate(expected)]
        length = (path, isinstance(actual, list) and len(actual) == len(expected))
        return [length, *(leaf for group in leaves for leaf in group)]
    return [(path, to_matcher(expected).matches(actual, False))]


def _example(expected: Any) -> Any:
    """Return a value that matches `expected`."""
    if isinstance(expected, dict) and "match" not in expected:
        examples = {key: _example(item) for key, item in expected.items()}
        return {key: value for key, value in examples.items() if value is not MISSING}
    if isinstance(expected, list | tuple):
        return [_example(item) for item in expected]
    return to_matcher(expected).example()


class Finish(Check, frozen=True, kw_only=True, tag="finish"):
    """Pass answers with this finish reason: `stop`, `tool_calls`, `length` (truncated), `turns` (limit of turns)."""

    reason: Literal["stop", "tool_calls", "length", "turns"]

    def score(self, answer: Answer) -> CheckResult:
        if answer.finish == self.reason:
            return PASS
        return CheckResult(0.0, "wrong finish", f"finished with {answer.finish}")

    def reference(self) -> None:
        return None


class Latency(Check, frozen=True, kw_only=True, tag="latency"):
    """Pass answers that took at most `max` seconds. Answers without a measured time cannot be scored."""

    max: Annotated[float, Meta(gt=0)]

    def score(self, answer: Answer) -> CheckResult:
        if answer.seconds is None:
            return CheckResult(0.0, "cannot judge", "its seconds were not measured")
        return PASS if answer.seconds <= self.max else CheckResult(0.0, "too slow", f"took {answer.seconds:.1f} s")
