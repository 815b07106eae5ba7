"""Adapters: what can be said of a training by its recipe, its base's files and what is known of its tokens, without its rows.

A look is a function from a `Subject` to findings. What is not known yet is None, and is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from punie_build.errors import did_you_mean
from punie_build.models.architecture import Anatomy
from punie_build.preflight import resources as room
from punie_build.preflight.finding import Finding, Level
from punie_build.preflight.resources import Room
from punie_build.training.batch_sampler import Coverage
from punie_build.training.spec import ITERS, Adapter
from punie_build.training.token_file import TokenStats

LOST = 0.01  # share of rows cut off, or with nothing to learn, from which that is worth a word
WRITTEN = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "<think>", "</think>", "<|im_start|>", "<|im_end|>",
           "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<end_of_turn>")  # fmt: skip
READ = ("<tool_response>", "</tool_response>")  # what a model only reads costs it less


class Subject(Struct, frozen=True, kw_only=True):
    """A training that is to be. `where` is its place in a recipe, `place` that of its tokens; `rows` are those that train; `tokens` what its tokens counted, by split."""

    where: str
    spec: Adapter
    place: str = ""
    base: Anatomy | None = None
    rows: int | None = None
    tokens: TokenStats | None = None
    coverage: Coverage | None = None
    room: Room | None = None

    def finding(self, look: str, level: Level, field: str, what: str, advice: str, share: float = 1.0) -> Finding:
        where = f"{self.where}.{field}" if field else self.where
        return Finding(look=look, level=level, where=where, what=what, advice=advice, share=share)

    def of_tokens(self, look: str, level: Level, what: str, advice: str, share: float) -> Finding:
        """One that all adapters of these tokens share."""
        return Finding(look=look, level=level, where=self.place, what=what, advice=advice, share=share)


def base(it: Subject) -> Iterator[Finding]:
    """The base can chat."""
    if it.base and not it.base.template:
        yield it.finding(
            "base", "error", "base", f"{it.spec.base} has no chat template", "use a chat or instruct model"
        )


def layers(it: Subject) -> Iterator[Finding]:
    """The base has so many layers."""
    if it.base and it.spec.num_layers > it.base.layers:
        what = f"{it.spec.num_layers}, and {it.spec.base} has {it.base.layers} layers"
        yield it.finding("layers", "error", "num_layers", what, f"at most {it.base.layers}; -1 is all of them")


def keys(it: Subject) -> Iterator[Finding]:
    """The modules to adapt are there."""
    if it.base and it.base.modules and it.spec.fine_tune_type != "full":
        for key in it.spec.lora.keys or ():
            if key not in it.base.modules:
                what = f"no layer of {it.spec.base} has a module '{key}'"
                yield it.finding(
                    "keys",
                    "error",
                    "lora.keys",
                    f"{what}{did_you_mean(key, it.base.modules)}",
                    "leave keys out for all linear ones",
                )


def rank(it: Subject) -> Iterator[Finding]:
    """An update of a rank above a module's width is a full one that takes more room."""
    widths = {name: min(it.base.modules[name]) for name in room.adapted(it.spec, it.base)} if it.base else {}
    narrow = {name: width for name, width in widths.items() if it.spec.lora.rank > width}
    if narrow:
        name, width = min(narrow.items(), key=lambda pair: pair[1])
        level: Level = "error" if len(narrow) == len(widths) else "warning"
        what = f"{it.spec.lora.rank}, and {name} of {it.spec.base} is {width} wide"
        more = f", as {len(narrow) - 1} more are narrower" if len(narrow) > 1 else ""
        yield it.finding("rank", level, "lora.rank", what + more, 'at most that, or fine_tune_type = "full"')


def batch(it: Subject) -> Iterator[Finding]:
    """A batch has no more rows than there are."""
    if it.rows is not None and it.spec.batching in ("bucket", "file") and it.spec.batch_size > it.rows:
        what = f"{it.spec.batch_size}, and {it.spec.data} has {it.rows} training rows"
        yield it.finding("batch", "error", "batch_size", what, f"at most {it.rows}")


def delimiters(it: Subject) -> Iterator[Finding]:
    """What the base's template marks turns and calls with are tokens of their own."""
    if not it.base:
        return
    for level, marks in (("error", WRITTEN), ("warning", READ)):
        split = [mark for mark in marks if mark in it.base.template and mark not in it.base.tokens]
        if split:
            what = (
                f"the chat template of {it.spec.base} writes {', '.join(split)}, which its tokenizer cuts into pieces"
            )
            advice = "a model learns such marks badly: take another base, or another template"
            yield it.finding("delimiters", "error" if level == "error" else "warning", "base", what, advice)


def epochs(it: Subject) -> Iterator[Finding]:
    """Every row is seen."""
    spec, seen = it.spec, it.coverage.epochs if it.coverage else None
    if seen is None and it.rows and spec.batching in ("bucket", "file") and spec.epochs is None and spec.tokens is None:
        seen = (spec.iters or ITERS) * spec.batch_size / it.rows
    if seen is not None and round(seen, 2) < 1:
        field = next((name for name in ("epochs", "tokens") if getattr(spec, name) is not None), "iters")
        rows = f" of {it.rows}" if it.rows else ""
        what = f"{spec.long} are {seen:.2f} epochs: {1 - seen:.0%}{rows} training rows are never seen"
        yield it.finding("epochs", "warning", field, what, "epochs = 1 sees each once")


def too_long(it: Subject) -> Iterator[Finding]:
    """Rows fit into max_seq_length."""
    if it.tokens:
        lost = sum(counts.truncated + counts.dropped for counts in it.tokens.splits)
        rows = sum(counts.rows + counts.dropped + counts.fully_masked for counts in it.tokens.splits)
        longest = max(counts.longest for counts in it.tokens.splits)
        if rows and lost / rows > LOST:
            how = "cut off" if it.spec.too_long == "truncate" else "left out"
            what = f"{lost} of {rows} rows are {how} at max_seq_length = {it.spec.max_seq_length}"
            advice = f"{longest} takes them whole; the filter `max-tokens` leaves them out"
            yield it.of_tokens("too-long", "warning", what, advice, lost / rows)


def mute(it: Subject) -> Iterator[Finding]:
    """Rows have something to learn."""
    if it.tokens:
        mute = it.tokens.train.fully_masked
        rows = it.tokens.train.rows + mute
        if rows and mute / rows > LOST:
            level: Level = "error" if mute > rows / 2 else "warning"
            what = f'{mute} of {rows} training rows have no token to learn (mask = "{it.spec.mask}")'
            yield it.of_tokens("turns", level, what, "does any assistant answer, within max_seq_length?", mute / rows)


def disk(it: Subject) -> Iterator[Finding]:
    """There is room for the adapter and its checkpoints."""
    if it.base and it.room and (need := room.disk(it.spec, it.base)) > it.room.disk:
        what = f"checkpoints and adapter need about {room.size(need)} of disk, {room.size(it.room.disk)} are free"
        yield it.finding(
            "disk", "error", "", what, "make room (`punie-build store gc`), or lower lora.rank or num_layers"
        )


def memory(it: Subject) -> Iterator[Finding]:
    """There is memory for the weights and a batch: a rough estimate."""
    if not (it.base and it.room and it.room.memory):
        return
    longest = it.tokens.train.longest if it.tokens else it.spec.max_seq_length
    weights = room.weights(it.base, it.room.cpu)
    need = weights + room.training(it.spec, it.base, longest)
    if need > room.ALMOST * it.room.memory:
        level: Level = "error" if weights > it.room.memory else "warning"
        parts = f"{room.size(weights)} for the weights of {it.spec.base}"
        what = f"needs roughly {room.size(need)} of memory ({parts}), the machine has {room.size(it.room.memory)}"
        advice = "lower batch_size or max_seq_length, set grad_checkpoint = true, or take a smaller or quantised base"
        yield it.finding("memory", level, "", what, advice)


LOOKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    base, layers, keys, rank, batch, delimiters, epochs, too_long, mute, disk, memory,
)  # fmt: skip


def look(it: Subject) -> list[Finding]:
    return [finding for each in LOOKS for finding in each(it)]
