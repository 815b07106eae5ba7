"""Checks of what an answer says in words, how it ended and how long it took."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from msgspec import Meta

from punie_build.evaluation.checks.check import Check, Right
from punie_build.evaluation.checks.matchers import NOTHING, compiled, matcher, soft
from punie_build.evaluation.checks.response import PASS, Answer, Verdict

Words = Annotated[tuple[str, ...], Meta(min_length=1)]
EMPTY = Verdict(0.0, "empty", "said nothing")
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


class Keywords(Check, frozen=True, kw_only=True, tag="keywords"):
    """Pass answers whose words contain every keyword, whatever the case. The score is the share that occurs."""

    words: Words

    def judge(self, answer: Answer) -> Verdict:
        missing = [word for word in self.words if word.lower() not in answer.content.lower()]
        score = 1 - len(missing) / len(self.words)
        return Verdict(score, "keyword missing", f"no {', '.join(missing)}") if missing else PASS

    def right(self) -> Right:
        return Right(words=self.words)


class Contains(Check, frozen=True, kw_only=True, tag="contains"):
    """Pass answers that contain `all` or `any` of the words. `whole`: as words of their own, so that "ls" is not found in "tools";
    `case`: capital letters count."""

    words: Words
    mode: Literal["all", "any"] = "all"
    case: bool = False
    whole: bool = False

    def judge(self, answer: Answer) -> Verdict:
        missing = [word for word in self.words if not found(word, answer.content, self.case, self.whole)]
        if self.mode == "any" and len(missing) < len(self.words):
            return PASS
        score = 0.0 if self.mode == "any" else 1 - len(missing) / len(self.words)
        return Verdict(score, "keyword missing", f"no {', '.join(missing)}") if missing else PASS

    def right(self) -> Right:
        return Right(words=self.words[:1] if self.mode == "any" else self.words)


class NotContains(Check, frozen=True, kw_only=True, tag="not-contains"):
    """Pass answers that say something, and none of the words. The score is the share that does not occur."""

    words: Words
    case: bool = False
    whole: bool = False

    def judge(self, answer: Answer) -> Verdict:
        if not answer.content.strip() and not answer.calls:
            return EMPTY
        said = [word for word in self.words if found(word, answer.content, self.case, self.whole)]
        return Verdict(1 - len(said) / len(self.words), "wrong words", f"says {', '.join(said)}") if said else PASS


def found(word: str, text: str, case: bool, whole: bool) -> bool:
    if not case:
        word, text = word.casefold(), text.casefold()
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None if whole else word in text


class Regex(Check, frozen=True, kw_only=True, tag="regex"):
    """Pass answers in which the pattern occurs; with `whole` it describes them from end to end. `(?i)` in front: whatever the case."""

    pattern: str
    whole: bool = False

    def __post_init__(self) -> None:
        compiled(self.pattern)

    def judge(self, answer: Answer) -> Verdict:
        pattern = compiled(self.pattern)
        hit = pattern.fullmatch(answer.content.strip()) if self.whole else pattern.search(answer.content)
        return PASS if hit else Verdict(0.0, "wrong words", f"nothing fits {self.pattern}")

    def right(self) -> None:
        return None


class Equals(Check, frozen=True, kw_only=True, tag="equals"):
    """Pass answers that are this text, but for space around it. `loose`: without case, spaces and punctuation."""

    text: str
    loose: bool = False

    def judge(self, answer: Answer) -> Verdict:
        said, wanted = answer.content.strip(), self.text.strip()
        equal = soft(said) == soft(wanted) if self.loose else said == wanted
        return PASS if equal else Verdict(0.0, "wrong words", f"expected {wanted!r}")

    def right(self) -> Right:
        return Right(text=self.text)


class Json(Check, frozen=True, kw_only=True, tag="json"):
    """Pass answers that are JSON, bare or in a fence, and hold all of `value`; objects may hold more. Values are matched as the arguments
    of calls are. The score is the share of leaves that fit."""

    value: Any

    def __post_init__(self) -> None:
        _leaves(self.value, NOTHING)

    def judge(self, answer: Answer) -> Verdict:
        fence = _FENCE.search(answer.content)
        try:
            said = json.loads(fence[1] if fence else answer.content)
        except (ValueError, RecursionError):
            return Verdict(0.0, "wrong words", "not JSON")
        fits = _leaves(self.value, said)
        wrong = [path for path, fit in fits if not fit]
        score = 1 - len(wrong) / len(fits) if fits else 1.0
        return Verdict(score, "wrong words", f"wrong at {', '.join(wrong)}") if wrong else PASS

    def right(self) -> Right:
        return Right(text=json.dumps(_example(self.value)))


def _leaves(wanted: Any, got: Any, path: str = "$") -> list[tuple[str, bool]]:
    """(where, whether it fits) for every value in `wanted` that is no object of its own."""
    if isinstance(wanted, dict) and "match" not in wanted:
        inner = got if isinstance(got, dict) else {}
        return [
            leaf for key, each in wanted.items() for leaf in _leaves(each, inner.get(key, NOTHING), f"{path}.{key}")
        ] or [(path, isinstance(got, dict))]
    if isinstance(wanted, list | tuple):
        inner_list = got if isinstance(got, list) else []
        return [
            (path, isinstance(got, list) and len(got) == len(wanted)),
            *(
                leaf
                for index, each in enumerate(wanted)
                for leaf in _leaves(each, inner_list[index] if index < len(inner_list) else NOTHING, f"{path}[{index}]")
            ),
        ]
    return [(path, matcher(wanted).fits(got, False))]


def _example(wanted: Any) -> Any:
    if isinstance(wanted, dict) and "match" not in wanted:
        made = {key: _example(each) for key, each in wanted.items()}
        return {key: value for key, value in made.items() if value is not NOTHING}
    return [_example(each) for each in wanted] if isinstance(wanted, list | tuple) else matcher(wanted).example()


class Finish(Check, frozen=True, kw_only=True, tag="finish"):
    """Pass answers that ended so: `stop`, `tool_calls`, `length` (cut off), or `turns` (still calling)."""

    reason: Literal["stop", "tool_calls", "length", "turns"]

    def judge(self, answer: Answer) -> Verdict:
        return PASS if answer.finish == self.reason else Verdict(0.0, "wrong finish", f"ended with {answer.finish}")

    def right(self) -> None:
        return None


class Latency(Check, frozen=True, kw_only=True, tag="latency"):
    """Pass answers that took at most so many seconds. Where nobody measured, nobody can judge."""

    max: Annotated[float, Meta(gt=0)]

    def judge(self, answer: Answer) -> Verdict:
        if answer.seconds is None:
            return Verdict(0.0, "cannot judge", "its seconds were not measured")
        return PASS if answer.seconds <= self.max else Verdict(0.0, "too slow", f"took {answer.seconds:.1f} s")
