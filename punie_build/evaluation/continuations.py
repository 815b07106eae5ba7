"""Questions whose choices are continuations of a context, as likelihoods compare them."""

from __future__ import annotations

from msgspec import Struct


class ChoiceQuestion(Struct, frozen=True, kw_only=True):
    """A context and its continuations, of which those with the indices `answers` are right. `delimiter`: the text
    before each choice, which does not count for its length."""

    id: str
    context: str
    choices: tuple[str, ...]
    answers: tuple[int, ...]
    delimiter: str = " "

    def __post_init__(self) -> None:
        if len(self.choices) < 2 or not all(self.choices):
            raise ValueError(f"{len(self.choices)} choices, or an empty one")
        if not self.answers or not all(0 <= answer < len(self.choices) for answer in self.answers):
            raise ValueError(f"answer {', '.join(map(str, self.answers))} of {len(self.choices)} choices")
