"""Tokenization of conversations, with a loss mask that selects the tokens of the assistant. Pure: the chat template is
passed in.

The base's own chat template renders the conversation (`models.rendered_row`). A token is in the loss mask if it
overlaps a trained turn. Prefixes of *tokens* would be wrong where a token spans the border of two turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from msgspec import Struct

from punie_build.data.answer_pair import AnswerPair, answer_pair
from punie_build.data.chat_template import template_arguments, text_tokens
from punie_build.data.example import decode_example
from punie_build.models.dropped_parts import DroppedParts
from punie_build.models.encoded_text import EncodedText, encode
from punie_build.models.rendered_row import RenderedRow, RenderedText
from punie_build.models.served_template import ChatTemplate

CharRange = tuple[int, int]  # start and end, in characters


class TokenizedRow(Struct, frozen=True):
    """The token ids of a text, and for each whether it is trained.

    A pair of answers is one row: the text with the wanted answer, and from index `rejected` on the other one.
    """

    ids: list[int]
    loss_mask: list[bool]
    rejected: int = 0

    @property
    def texts(self) -> list[TokenizedRow]:
        """The texts of the row: two of a pair, else one."""
        spans = [slice(self.rejected), slice(self.rejected, None)] if self.rejected else [slice(None)]
        return [TokenizedRow(self.ids[span], self.loss_mask[span]) for span in spans]

    @property
    def trained_tokens(self) -> int:
        """The number of trained tokens, which is 0 for a pair whose texts are equal, or of which one has none."""
        counts = [sum(text.loss_mask[1:]) for text in self.texts]  # no token predicts the first one of a text
        first, *others = self.texts
        return 0 if 0 in counts or first in others else sum(counts)

    def truncated(self, length: int) -> TokenizedRow:
        """Return the first `length` tokens of each text."""
        texts = self.texts
        return TokenizedRow(
            [token for text in texts for token in text.ids[:length]],
            [mark for text in texts for mark in text.loss_mask[:length]],
            min(self.rejected, length),
        )


class TokenizedConversation(Struct, frozen=True):
    """The texts of a conversation in tokens, and the counts of what its chat template left to us and what it drops."""

    rows: tuple[TokenizedRow, ...]
    notes: Mapping[str, int] = {}
    dropped_parts: Mapping[str, int] = {}


class Tokenization:
    """The tokenization of conversations for one base with one loss mask."""

    def __init__(self, template: ChatTemplate, mask: str, pairs: bool = False) -> None:
        self.template, self.mask, self.pairs = template, mask, pairs
        self.dropped_parts = DroppedParts(template)

    def tokenize(self, line: bytes) -> TokenizedConversation:
        """Return the texts of a row, a line of JSONL, that have trained tokens. Raises any error of the template."""
        example = decode_example(line)
        if self.pairs:
            return self._tokenize_pair(answer_pair(example))
        if example.form == "preference":
            raise ValueError(
                "preference data: an adapter trains on one answer per row - use a dataset of the form chat, or "
                'loss = "dpo" or "orpo" for pairs'
            )
        if example.form == "text":
            ids = text_tokens(self.template.tokenizer, example.messages[0].content or "")
            return TokenizedConversation((TokenizedRow(ids, [True] * len(ids)),))
        messages, tools = template_arguments(example)
        row = self.template.render(messages, tools)
        untrained = {number for number, message in enumerate(example.messages) if not message.is_trained}
        rows = [
            TokenizedRow(encoded.ids, loss_mask(encoded, ranges))
            for text, ranges in trained_ranges(row, self.mask, untrained)
            for encoded in [encode(self.template.tokenizer, text)]
        ]
        return TokenizedConversation(tuple(rows), row.notes, self.dropped_parts.of(messages, tools))

    def _tokenize_pair(self, pair: AnswerPair) -> TokenizedConversation:
        """Return the two texts of a pair as one row; the messages of its prompt are not trained."""
        texts, row = [], None
        for example in (pair.rejected, pair.wanted):
            messages, tools = template_arguments(example)
            row = self.template.render(messages, tools)
            untrained = {
                number for number, each in enumerate(example.messages) if number < pair.prompt or not each.is_trained
            }
            trained = list(trained_ranges(row, self.mask, untrained))
            if len(trained) != 1:
                raise ValueError(
                    f"the chat template writes the answer as {len(trained)} texts, and a pair compares two - use "
                    'mask = "last"'
                )
            encoded = encode(self.template.tokenizer, trained[0][0])
            texts.append(TokenizedRow(encoded.ids, loss_mask(encoded, trained[0][1])))
        assert row is not None
        rejected, wanted = texts
        if wanted == rejected:
            raise ValueError("the chat template writes the wanted and the rejected answer alike - remove the row")
        both = TokenizedRow(wanted.ids + rejected.ids, wanted.loss_mask + rejected.loss_mask, len(wanted.ids))
        return TokenizedConversation((both,), row.notes, self.dropped_parts.of(messages, tools))


def trained_ranges(
    row: RenderedRow, mask: str, untrained: Set[int] = frozenset()
) -> Iterator[tuple[RenderedText, list[CharRange]]]:
    """Yield each text that has trained turns, with the ranges of these; of a row without any its last text.

    `untrained`: the indexes of the messages of weight 0, which OpenAI's format marks so. Raises ValueError with the
    mask "all", if one of them is not in the text of the whole conversation.
    """
    *_, last = row.texts
    if mask == "all":
        excluded = {turn.message: (turn.start, turn.end) for turn in last.turns if turn.message in untrained}
        if len(excluded) < sum(turn.message in untrained for _, turn in row.turns()):
            raise ValueError('a turn of weight 0 is rendered differently later on - use mask = "assistant"')
        borders = [0, *(border for char_range in excluded.values() for border in char_range), len(last.text)]
        yield last, list(zip(borders[::2], borders[1::2], strict=True))
        return
    final = max((turn.message for _, turn in row.turns()), default=None)
    chosen = {turn.message for _, turn in row.turns() if mask == "assistant" or turn.message == final} - untrained
    texts = [text for text in row.texts if any(turn.message in chosen for turn in text.turns)]
    for text in texts or [last]:
        yield text, [(turn.start, turn.end) for turn in text.turns if turn.message in chosen]


def loss_mask(encoded: EncodedText, ranges: list[CharRange]) -> list[bool]:
    """Return for each token whether it overlaps a trained range."""
    return [any(first < end and start < last for start, end in ranges) for first, last in encoded.offsets]
