"""The history of a training, as metrics.jsonl holds it: one event per line."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.runtime.console import message


class TrainingStart(Struct, frozen=True, kw_only=True, tag_field="event", tag="start"):
    """The first event: `rows` of each split, number of adapted `layers`, and how rows are batched."""

    rows: dict[str, int]
    layers: int
    batching: str


class TrainReport(Struct, frozen=True, kw_only=True, tag_field="event", tag="train"):
    """The mean training loss in nats per token since the last report, and the `trained_tokens` so far."""

    iteration: int
    loss: float
    learning_rate: float
    trained_tokens: int = msgspec.field(name="tokens")


class ValidationReport(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag="valid"):
    """The validation loss in nats per token, and the share of tokens predicted correctly. Iteration 0 is the base
    itself.

    Of pairs: loss per pair, the share with a higher reward of the wanted answer, and the mean `margin` of the rewards.
    """

    iteration: int
    loss: float
    accuracy: float
    margin: float | None = None


class TrainingEnd(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag="end"):
    """The last event: which weights are published ("best" or "last"), from which of the `iterations`, with which
    loss.

    `tokens` were trained on, `shared` of them computed with another row; `padding` is a share of the computed tokens.
    """

    published: str
    iteration: int
    iterations: int
    valid_loss: float
    valid_loss_last: float
    updates: int
    epochs: float
    tokens: int
    padding: float
    shared: int = 0


TrainEvent = TrainingStart | TrainReport | ValidationReport | TrainingEnd


class TrainingHistory(Struct, frozen=True, kw_only=True):
    """All events of one training, by type. `train` and `valid` are in the order of their iterations."""

    start: TrainingStart
    train: tuple[TrainReport, ...]
    valid: tuple[ValidationReport, ...]
    end: TrainingEnd

    @property
    def initial(self) -> ValidationReport:
        """The validation of the base before the first update."""
        return self.validation(0)

    @property
    def published(self) -> ValidationReport:
        """The validation of the published weights."""
        return self.validation(self.end.iteration)

    def validation(self, iteration: int) -> ValidationReport:
        """Return the validation after `iteration` batches. Raises KeyError if there was none."""
        return {report.iteration: report for report in self.valid}[iteration]


def encode(event: TrainEvent) -> str:
    """Return the line of an event, with its newline."""
    return json.dumps(msgspec.to_builtins(event)) + "\n"


def read(folder: Path) -> TrainingHistory:
    """Read the metrics.jsonl of an adapter's folder. Raises OSError or msgspec.ValidationError."""
    events = msgspec.json.Decoder(TrainEvent).decode_lines((folder / "metrics.jsonl").read_bytes())
    [start] = [event for event in events if isinstance(event, TrainingStart)]
    [end] = [event for event in events if isinstance(event, TrainingEnd)]
    train = tuple(event for event in events if isinstance(event, TrainReport))
    valid = tuple(event for event in events if isinstance(event, ValidationReport))
    return TrainingHistory(start=start, train=train, valid=valid, end=end)


@message
def summary(folder: Path) -> str:
    """Return one line on rows, epochs and validation loss of the adapter in a folder."""
    history = read(folder)
    start, end = history.start, history.end
    line = (
        f"{start.rows['train']} rows, {end.epochs:.1f} epochs, "
        f"{'validation loss' if start.rows['valid'] else 'no validation rows; loss of the training rows'} "
        f"{history.initial.loss:.3f} -> {end.valid_loss:.3f}"
    )
    if history.published.margin is not None:
        rows = "validation" if start.rows["valid"] else "training"
        line += (
            f", the wanted answer preferred in {history.published.accuracy:.0%} of {rows} pairs, "
            f"margin {history.published.margin:.2f}"
        )
    if end.published == "last":
        return line
    return f"{line} after {end.iteration} (the best, of {end.iterations} batches; last {end.valid_loss_last:.3f})"


def metrics(folder: Path) -> dict[str, float]:
    """Return the metrics of an adapter for its lock: losses in nats per token, accuracy as a share of tokens.

    Without validation rows they are those of the training rows, with `train_` in their names. Of pairs they are means
    over pairs, with the margin of the rewards.
    """
    history = read(folder)
    end, split = history.end, "valid" if history.start.rows["valid"] else "train"
    margins = () if history.published.margin is None else ((f"{split}_margin", history.published.margin),)
    return {
        "rows": history.start.rows["train"],
        "epochs": end.epochs,
        "updates": end.updates,
        "iterations": end.iterations,
        "best_at": end.iteration,
        f"{split}_loss_start": history.initial.loss,
        f"{split}_loss": end.valid_loss,
        f"{split}_loss_last": end.valid_loss_last,
        f"{split}_accuracy": history.published.accuracy,
        **dict(margins),
    }
