"""Row transforms, the `maps` of a stage: they rewrite messages, and a row that no transform changes keeps its bytes.

To add one: a class with `rewrite`, its name in `AnyTransform` at the end of the file, a test.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from punie_build.data.example import json_strings, parse
from punie_build.data.filters.secret import Secret, replace_secrets
from punie_build.data.filters.union import FilterContext
from punie_build.data.transform import RowRewriter, Transform
from punie_build.data.turns import CutTurns
from punie_build.data.user_function import UserFunction, require_function
from punie_build.errors import DataError

MAX_MISTAKEN = 100_000  # characters of a row
_IDENTIFIERS = frozenset(["role", "type", "name", "id", "tool_call_id"])


class TextTransform(Transform, frozen=True, kw_only=True):
    """A rewrite of every text that the model sees: contents, reasoning, calls, tool declarations, a rejected answer.

    Names, roles and ids stay, and arguments stay JSON.
    """

    def rewrite_text(self, text: str) -> str:
        """Return the text after the rewrite: the same object, or an equal one, if it does not change."""
        raise NotImplementedError

    def rewrite(self, record: dict[str, Any]) -> bool:
        changed = False
        for key in ("messages", "tools", "rejected"):
            value = record.get(key)
            value = msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
            if (rewritten := self._rewritten(value)) != value:
                record[key], changed = rewritten, True
        return changed

    def _rewritten(self, value: Any, key: str = "") -> Any:
        """Return a JSON value with its texts rewritten."""
        if isinstance(value, str):
            if key in _IDENTIFIERS:
                return value
            return self._arguments(value) if key == "arguments" else self.rewrite_text(value)
        if isinstance(value, dict):
            return {name: self._rewritten(item, name) for name, item in value.items()}
        return [self._rewritten(item, key) for item in value] if isinstance(value, list) else value

    def _arguments(self, text: str) -> str:
        """Return JSON text with its values rewritten; escapes may hide a value, or be part of it."""
        rewritten = self.rewrite_text(text)
        if rewritten == text and "\\" not in text:
            return text
        try:
            values = self._rewritten(msgspec.json.decode(text))
        except (msgspec.DecodeError, RecursionError):
            return rewritten
        with suppress(msgspec.DecodeError):
            if msgspec.json.decode(rewritten) == values:
                return rewritten
        return msgspec.json.encode(values).decode()


class StripMarkers(TextTransform, frozen=True, kw_only=True, tag="strip-markers"):
    """Remove `markers` from every text: end-of-text tokens of another model, which would be trained on as words."""

    markers: Annotated[tuple[str, ...], Meta(min_length=1)] = (
        "<|endoftext|>",
        "<|im_end|>",
        "<|im_start|>",
        "<|eot_id|>",
        "</s>",
    )

    def applies(self, line: bytes) -> bool:
        return any(marker.encode() in line for marker in self.markers) or b"\\u003c" in line.lower()

    def rewrite_text(self, text: str) -> str:
        while self._marked(text):  # a removal can leave another marker: `<|endof<|im_end|>text|>`
            for marker in self.markers:
                text = text.replace(marker, "")
        return text

    def rewrite(self, record: dict[str, Any]) -> bool:
        contents = [message.get("content") for message in record["messages"]]
        changed = super().rewrite(record)
        for message, before in zip(record["messages"], contents, strict=True):
            if message.get("content") != before:
                message["content"] = message["content"].strip()
        return changed

    def _marked(self, text: str) -> bool:
        return any(marker in text for marker in self.markers)


class SystemPrompt(Transform, frozen=True, kw_only=True, tag="system-prompt"):
    """Replace the system prompt by `prompt`; with `when = "missing"`, only add it where there is none.

    A model that is served under one prompt should be trained under it.
    """

    prompt: str
    when: Literal["always", "missing"] = "always"

    def rewrite(self, record: dict[str, Any]) -> bool:
        messages = record["messages"]
        if bytes(record.get("form", b"")) == b'"text"':  # raw text has no roles
            return False
        existing = [message for message in messages if message["role"] == "system"]
        if existing and (self.when == "missing" or [message.get("content") for message in existing] == [self.prompt]):
            return False
        record["messages"] = [
            {"role": "system", "content": self.prompt},
            *(message for message in messages if message["role"] != "system"),
        ]
        return True


class Redact(TextTransform, frozen=True, kw_only=True, tag="redact"):
    """Replace each secret of `kinds` by its kind, such as `[token]`, in messages, calls and declarations of tools.

    Texts of `allow` are not secrets.
    """

    kinds: Annotated[tuple[Secret, ...], Meta(min_length=1)] = ("private-key", "token", "email", "ip")
    allow: tuple[Annotated[str, Meta(min_length=1)], ...] = ()

    def rewrite_text(self, text: str) -> str:
        return replace_secrets(text, self.kinds, self.allow)


class FixText(TextTransform, frozen=True, kw_only=True, tag="fix-text"):
    """Repair texts whose encoding was mistaken (`cafÃ©`), with the package ftfy; code is not changed otherwise.

    `normalization` is the Unicode form of the result; "none" changes no other character. A row with more than 100,000
    mistaken characters stays as it is, and is counted: ftfy takes up to 50 microseconds for each of them.
    """

    PACKAGES: ClassVar = ("ftfy",)
    normalization: Literal["none", "NFC", "NFKC"] = "none"
    unescape_html: bool = False
    straight_quotes: bool = False

    def applies(self, line: bytes) -> bool:
        return not line.isascii() or b"\\u" in line or (self.unescape_html and b"&" in line)

    def bind(self, context: FilterContext) -> RowRewriter:
        return BoundRepair(self)

    def rewrite_text(self, text: str) -> str:
        import ftfy

        config = ftfy.TextFixerConfig(
            unescape_html=self.unescape_html,
            uncurl_quotes=self.straight_quotes,
            normalization=None if self.normalization == "none" else self.normalization,
            fix_line_breaks=False,
            fix_latin_ligatures=False,
            fix_character_width=False,
            remove_terminal_escapes=False,
        )
        return str(ftfy.fix_text(text, config))


class BoundRepair:
    """A `fix-text` of one pass, which counts the rows that it leaves because their repair would take too long."""

    def __init__(self, transform: FixText) -> None:
        self.transform, self.counts = transform, Counter[str]()
        self.applies = transform.applies

    def rewrite(self, record: dict[str, Any]) -> bool:
        if _is_too_long(record):
            self.counts[f"rows with more than {MAX_MISTAKEN:,} mistaken characters, not repaired by fix-text"] += 1
            return False
        return self.transform.rewrite(record)


def _is_too_long(record: dict[str, Any]) -> bool:
    """Whether the lines of a row that ftfy would repair have more characters than it repairs in a few seconds."""
    values = (value for key, value in record.items() if key in ("messages", "tools", "rejected"))
    decoded = [msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value for value in values]
    texts = [text for value in decoded for text in json_strings(value)]
    if sum(map(len, texts)) <= MAX_MISTAKEN:
        return False
    from ftfy.badness import is_bad

    return sum(len(line) for text in texts for line in text.split("\n") if is_bad(line)) > MAX_MISTAKEN


class PythonMap(Transform, frozen=True, kw_only=True, tag="python"):
    """Replace each row by the result of a Python function of the project: `function = "filters.mine:change"`.

    It gets the row as a dictionary, in a limited process (see `user_function`), and returns the new row, or None to
    leave it. An error, a result that is not a conversation, and more than `seconds` for a row stop the build.
    """

    function: str
    seconds: Annotated[float, Meta(gt=0)] = 10.0

    def __post_init__(self) -> None:
        require_function(self.function)

    def bind(self, context: FilterContext) -> RowRewriter:
        return BoundFunction(UserFunction(context.root, self.function, self.seconds))


class BoundFunction:
    """A function that rewrites the rows of one pass."""

    def __init__(self, function: UserFunction) -> None:
        self.function, self.counts = function, Counter[str]()

    def applies(self, line: bytes) -> bool:
        return True

    def rewrite(self, record: dict[str, Any]) -> bool:
        row = msgspec.json.decode(msgspec.json.encode(record))
        result = self.function(row)
        if result is None or result == row:
            return False
        try:
            parse(msgspec.json.encode(result))
        except ValueError as error:
            raise DataError(f"function {self.function.function}: its row is not a conversation: {error}") from None
        unchanged = {key: value for key, value in record.items() if key in result and result[key] == row[key]}
        record.clear()
        record.update({key: unchanged.get(key, value) for key, value in result.items()})
        return True


AnyTransform = StripMarkers | SystemPrompt | Redact | FixText | CutTurns | PythonMap
