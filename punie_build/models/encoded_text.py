"""The token ids of a rendered text, in which every turn begins with a token of its own, as it does on a server."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from msgspec import Struct

from punie_build.models.rendered_row import RenderedText


class EncodedText(Struct, frozen=True):
    """Token ids, and for each where it begins and ends in the text, in characters."""

    ids: list[int]
    offsets: list[tuple[int, int]]


def encode(tokenizer: Any, text: RenderedText) -> EncodedText:
    """Return the token ids of a text.

    A token that spans the border of a turn, such as two line breaks of which the prompt has one, is split there: a
    server reads the prompt without the turn. Tokenizers that write a blank before each piece of text are not split.
    """
    whole = _encode(tokenizer, text.text, 0)
    borders = sorted({border for turn in text.turns for border in (turn.start, turn.end)})
    spanned = [border for border in borders if any(first < border < last for first, last in whole.offsets)]
    if not spanned or _writes_blank(tokenizer):
        return whole
    pieces = [
        _encode(tokenizer, text.text[first:last], first) for first, last in pairwise([0, *spanned, len(text.text)])
    ]
    return EncodedText(
        [number for piece in pieces for number in piece.ids], [span for piece in pieces for span in piece.offsets]
    )


def _encode(tokenizer: Any, text: str, first: int) -> EncodedText:
    encoded = inner_tokenizer(tokenizer)(text, return_offsets_mapping=True, add_special_tokens=False)
    return EncodedText(
        list(encoded["input_ids"]), [(first + start, first + end) for start, end in encoded["offset_mapping"]]
    )


def _writes_blank(tokenizer: Any) -> bool:
    inner = inner_tokenizer(tokenizer)
    ids = inner.encode("a", add_special_tokens=False)
    return str(inner.convert_ids_to_tokens(ids[0])).startswith("\u2581") if ids else True


def inner_tokenizer(tokenizer: Any) -> Any:
    """Return the tokenizer of transformers in mlx-lm's wrapper."""
    return tokenizer if callable(tokenizer) else tokenizer._tokenizer
