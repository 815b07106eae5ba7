"""Row transforms, the `maps` of a stage: they rewrite messages, and a row that no transform changes keeps its bytes.

To add one: a class with `rewrite`, its name in `AnyTransform` at the end of the file, a test.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import msgspec
from msgspec import Meta

from punie_build.data.example import parse
from punie_build.data.filters.secret import Secret, replace_secrets
from punie_build.data.user_function import UserFunction, require_function
from punie_build.errors import DataError
from punie_build.schema.spec import TaggedSpec

_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_messages = msgspec.json.Decoder(list[dict[str, Any]], float_hook=lambda text: msgspec.Raw(text.encode())).decode
_IDENTIFIERS = frozenset(["role", "type", "name", "id", "tool_call_id"])


class RowRewriter(Protocol):
    """A function that rewrites rows: a transform, or a transform with the process of its function."""

    def applies(self, line: bytes) -> bool:
        """Return False if `rewrite` cannot change the row."""

    def rewrite(self, record: dict[str, Any]) -> bool:
        """Change the record in place. Return whether anything changed."""


class Transform(TaggedSpec, frozen=True, kw_only=True):
    """A rewrite of a row's `messages`. All other keys of the row keep their bytes."""

    NOUN: ClassVar = "map"

    PACKAGES: ClassVar[tuple[str, ...]] = ()

    def applies(self, line: bytes) -> bool:
        """Return False if `rewrite` cannot change the row: a cheap test of the undecoded line."""
        return True

    def rewrite(self, record: dict[str, Any]) -> bool:
        """Change the record's messages, or its tools, in place. Return whether anything changed."""
        raise NotImplementedError

    def bind(self, root: Path) -> RowRewriter:
        """Return the function that rewrites the rows of one pass. `root` is the folder of the project."""
        return self


def transform_line(line: bytes, transforms: Iterable[RowRewriter]) -> bytes:
    """Return the line after the transforms: the same object if they do not change it.

    Raises ValueError for messages that cannot be decoded, such as integers with more digits than Python accepts.
    """
    for transform in transforms:
        if transform.applies(line):
            record: dict[str, Any] = _decode_keys(line)
            try:
                record["messages"] = _decode_messages(record["messages"])
            except (msgspec.ValidationError, RecursionError) as error:
                raise ValueError(str(error)) from None
            if transform.rewrite(record):
                line = msgspec.json.encode(record) + b"\n"
    return line


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

    `normalization` is the Unicode form of the result; "none" changes no other character.
    """

    PACKAGES: ClassVar = ("ftfy",)
    normalization: Literal["none", "NFC", "NFKC"] = "none"
    unescape_html: bool = False
    straight_quotes: bool = False

    def applies(self, line: bytes) -> bool:
        return not line.isascii() or b"\\u" in line or (self.unescape_html and b"&" in line)

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


class CutTurns(Transform, frozen=True, kw_only=True, tag="cut-turns"):
    """Cut long conversations before a user's message, so that at most `messages` messages or `chars` characters remain.

    System messages stay. `keep` selects the first or the last turns. One turn always stays, however long it is.
    """

    messages: Annotated[int, Meta(ge=2)] | None = None
    chars: Annotated[int, Meta(ge=1)] | None = None
    keep: Literal["first", "last"] = "first"

    def __post_init__(self) -> None:
        if self.messages is None and self.chars is None:
            raise ValueError("a map `cut-turns` has no limit - give `messages` or `chars`")

    def rewrite(self, record: dict[str, Any]) -> bool:
        system, turns = _turns(record["messages"])
        if self.keep == "last":
            turns.reverse()
        count, size = len(system), sum(map(_characters, system))
        for number, turn in enumerate(turns):
            count, size = count + len(turn), size + sum(map(_characters, turn))
            if number and (count > (self.messages or count) or size > (self.chars or size)):
                turns = turns[:number]
                break
        else:
            return False
        if self.keep == "last":
            turns.reverse()
        record["messages"] = [*system, *(message for turn in turns for message in turn)]
        return True


def _turns(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Return system messages and turns. A turn has a user's messages and all messages up to the next ones."""
    system = [message for message in messages if message["role"] == "system"]
    turns: list[list[dict[str, Any]]] = []
    for message in messages:
        if message["role"] == "user" and not (turns and turns[-1][-1]["role"] == "user"):
            turns.append([message])
        elif message["role"] != "system" and turns:
            turns[-1].append(message)
        elif message["role"] != "system":
            turns.append([message])
    return system, turns


def _characters(message: dict[str, Any]) -> int:
    """Return the characters of a message and its calls."""
    calls = message.get("tool_calls")
    texts = (message.get("content"), message.get("reasoning_content"))
    return sum(len(text) for text in texts if isinstance(text, str)) + (len(msgspec.json.encode(calls)) if calls else 0)


class PythonMap(Transform, frozen=True, kw_only=True, tag="python"):
    """Replace each row by the result of a Python function of the project: `function = "filters.mine:change"`.

    It gets the row as a dictionary, in a limited process (see `user_function`), and returns the new row, or None to
    leave it. An error, a result that is not a conversation, and more than `seconds` for a row stop the build.
    """

    function: str
    seconds: Annotated[float, Meta(gt=0)] = 10.0

    def __post_init__(self) -> None:
        require_function(self.function)

    def bind(self, root: Path) -> RowRewriter:
        return BoundFunction(UserFunction(root, self.function, self.seconds))


class BoundFunction:
    """A function that rewrites the rows of one pass."""

    def __init__(self, function: UserFunction) -> None:
        self.function = function

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
