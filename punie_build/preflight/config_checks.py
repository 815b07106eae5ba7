"""Checks of a training by its recipe, the files of its base and the statistics of its tokens, without its rows.

A check is a function from a `TrainingPlan` to findings. It yields none where it needs a value that is not known yet
(None).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from punie_build.errors import did_you_mean
from punie_build.models.architecture import Architecture
from punie_build.preflight import resources as estimate
from punie_build.preflight.finding import Level, PreflightFinding
from punie_build.preflight.resources import Resources, format_gib
from punie_build.training.batch_sampler import BY_ROWS, Coverage
from punie_build.training.spec import ITERS, Adapter
from punie_build.training.token_file import TokenStats

Findings = Iterator[PreflightFinding]

REPORTED_SHARE = 0.01  # share of truncated or fully masked rows from which a finding is reported
WRITTEN_MARKUP = (
    "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "<think>", "</think>", "<|im_start|>",
    "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<end_of_turn>",
)  # fmt: skip
READ_MARKUP = ("<tool_response>", "</tool_response>")  # markup that a model only reads matters less


class TrainingPlan(Struct, frozen=True, kw_only=True):
    """A training that has not started. `where`: its location in a recipe; `tokens_target`: target of its tokens;
    `rows`: number of training rows; `tokens`: counts of its tokens per split."""

    where: str
    spec: Adapter
    tokens_target: str = ""
    base: Architecture | None = None
    rows: int | None = None
    tokens: TokenStats | None = None
    coverage: Coverage | None = None
    resources: Resources | None = None

    def finding(
        self, check: str, level: Level, field: str, problem: str, advice: str, share: float = 1.0
    ) -> PreflightFinding:
        """Return a finding about a field of the recipe; "" for the whole training."""
        where = f"{self.where}.{field}" if field else self.where
        return PreflightFinding(check=check, level=level, where=where, problem=problem, advice=advice, share=share)

    def tokens_finding(self, check: str, level: Level, problem: str, advice: str, share: float) -> PreflightFinding:
        """Return a finding that all adapters of these tokens share."""
        where = self.tokens_target
        return PreflightFinding(check=check, level=level, where=where, problem=problem, advice=advice, share=share)


def base(plan: TrainingPlan) -> Findings:
    """Check that the base has a chat template."""
    if plan.base and not plan.base.chat_template:
        problem = f"{plan.spec.base} has no chat template"
        yield plan.finding("base", "error", "base", problem, "use a chat or instruct model")


def layers(plan: TrainingPlan) -> Findings:
    """Check that the base has at least `num_layers` layers."""
    if plan.base and plan.spec.num_layers > plan.base.layers:
        problem = f"{plan.spec.num_layers}, and {plan.spec.base} has {plan.base.layers} layers"
        yield plan.finding("layers", "error", "num_layers", problem, f"at most {plan.base.layers}; -1 is all of them")


def keys(plan: TrainingPlan) -> Findings:
    """Check that the base has the modules to adapt."""
    if plan.base and plan.base.modules and plan.spec.fine_tune_type != "full":
        for key in plan.spec.lora.keys or ():
            if key not in plan.base.modules:
                problem = f"no layer of {plan.spec.base} has a module '{key}'{did_you_mean(key, plan.base.modules)}"
                yield plan.finding("keys", "error", "lora.keys", problem, "leave keys out for all linear ones")


def rank(plan: TrainingPlan) -> Findings:
    """Check that the rank is at most the width of the modules: an update of a higher rank is a full one that needs
    more space."""
    is_lora = plan.base and plan.spec.fine_tune_type != "full"
    adapted = plan.base.adapted(plan.spec.num_layers, plan.spec.lora.keys) if plan.base and is_lora else []
    widths = {weight.module: min(weight.shape[-2:]) for weight in adapted}
    narrow = {name: width for name, width in widths.items() if plan.spec.lora.rank > width}
    if narrow:
        name, width = min(narrow.items(), key=lambda pair: pair[1])
        level: Level = "error" if len(narrow) == len(widths) else "warning"
        problem = f"{plan.spec.lora.rank}, and {name} of {plan.spec.base} is {width} wide"
        others = f", as {len(narrow) - 1} more are narrower" if len(narrow) > 1 else ""
        advice = 'at most that, or fine_tune_type = "full"'
        yield plan.finding("rank", level, "lora.rank", problem + others, advice)


def batch(plan: TrainingPlan) -> Findings:
    """Check that a batch has at most as many rows as the training split."""
    spec = plan.spec
    if plan.rows is not None and spec.batching in BY_ROWS and spec.batch_size > plan.rows:
        problem = f"{spec.batch_size}, and {spec.data} has {plan.rows} training rows"
        yield plan.finding("batch", "error", "batch_size", problem, f"at most {plan.rows}")


def delimiters(plan: TrainingPlan) -> Findings:
    """Check that the delimiters of turns and calls in the base's template are single tokens."""
    if not plan.base:
        return
    levels: tuple[tuple[Level, tuple[str, ...]], ...] = (("error", WRITTEN_MARKUP), ("warning", READ_MARKUP))
    for level, marks in levels:
        split = [mark for mark in marks if mark in plan.base.chat_template and mark not in plan.base.special_tokens]
        if split:
            problem = f"the chat template of {plan.spec.base} writes {', '.join(split)}, which its tokenizer splits"
            advice = "a model learns such marks badly: use another base, or another template"
            yield plan.finding("delimiters", level, "base", problem, advice)


def epochs(plan: TrainingPlan) -> Findings:
    """Check that the training sees every row."""
    spec, count = plan.spec, plan.coverage.epochs if plan.coverage else None
    by_iters = spec.batching in BY_ROWS and spec.epochs is None and spec.tokens is None
    if count is None and plan.rows and by_iters:
        count = (spec.iters or ITERS) * spec.batch_size / plan.rows
    if count is not None and round(count, 2) < 1:
        field = next((name for name in ("epochs", "tokens") if getattr(spec, name) is not None), "iters")
        rows = f" of {plan.rows}" if plan.rows else ""
        problem = f"{spec.duration} are {count:.2f} epochs: {1 - count:.0%}{rows} training rows are never seen"
        yield plan.finding("epochs", "warning", field, problem, "epochs = 1 sees each once")


def too_long(plan: TrainingPlan) -> Findings:
    """Check that rows fit into max_seq_length."""
    if plan.tokens:
        lost = sum(counts.truncated + counts.dropped for counts in plan.tokens.splits)
        rows = sum(counts.rows + counts.dropped + counts.fully_masked for counts in plan.tokens.splits)
        longest = max(counts.longest for counts in plan.tokens.splits)
        if rows and lost / rows > REPORTED_SHARE:
            effect = "truncated" if plan.spec.too_long == "truncate" else "dropped"
            problem = f"{lost} of {rows} rows are {effect} at max_seq_length = {plan.spec.max_seq_length}"
            advice = f"{longest} keeps them complete; the filter `max-tokens` removes them"
            yield plan.tokens_finding("too-long", "warning", problem, advice, lost / rows)


def positions(plan: TrainingPlan) -> Findings:
    """Check that the base knows as many positions as the longest row has tokens."""
    if not (plan.base and plan.base.positions and plan.tokens):
        return
    longest = min(max(counts.longest for counts in plan.tokens.splits), plan.spec.max_seq_length)
    if longest > plan.base.positions:
        effect = "it has no embeddings of later ones" if plan.base.position_table else "it was trained on no later ones"
        problem = (
            f"rows of up to {longest} tokens, and {plan.spec.base} knows {plan.base.positions} positions: {effect}"
        )
        level: Level = "error" if plan.base.position_table else "warning"
        advice = f"max_seq_length = {plan.base.positions}, or a base that reads longer texts"
        yield plan.finding("positions", level, "max_seq_length", problem, advice)


def fully_masked(plan: TrainingPlan) -> Findings:
    """Check that training rows have tokens to train on."""
    if plan.tokens:
        masked = plan.tokens.train.fully_masked
        rows = plan.tokens.train.rows + masked
        if rows and masked / rows > REPORTED_SHARE:
            level: Level = "error" if masked > rows / 2 else "warning"
            problem = f'{masked} of {rows} training rows have no token to train on (mask = "{plan.spec.mask}")'
            advice = "check that they have an assistant message within max_seq_length"
            yield plan.tokens_finding("turns", level, problem, advice, masked / rows)


def disk(plan: TrainingPlan) -> Findings:
    """Check that the disk has space for the adapter and its checkpoints."""
    if plan.base and plan.resources and (need := estimate.disk_bytes(plan.spec, plan.base)) > plan.resources.disk:
        free = format_gib(plan.resources.disk)
        problem = f"checkpoints and adapter need about {format_gib(need)} of disk, {free} are free"
        advice = "free some (`punie-build store gc`), or lower lora.rank or num_layers"
        yield plan.finding("disk", "error", "", problem, advice)


def memory(plan: TrainingPlan) -> Findings:
    """Check that the memory is large enough for the weights and a batch, by a rough estimate."""
    if not (plan.base and plan.resources and plan.resources.memory):
        return
    longest = plan.tokens.train.longest if plan.tokens else plan.spec.max_seq_length
    weights = estimate.weight_bytes(plan.base, plan.resources.cpu)
    step = estimate.training_bytes(plan.spec, plan.base, longest)
    need = weights + step
    room = estimate.USABLE_MEMORY * plan.resources.memory
    if need > room:
        level: Level = "error" if weights > plan.resources.memory else "warning"
        tokens = plan.spec.largest_batch(longest)
        parts = f"{format_gib(weights)} for the weights of {plan.spec.base}, "
        parts += f"{step / tokens / 1024:,.0f} KiB for each of the {tokens:,} tokens of a batch"
        total = format_gib(plan.resources.memory)
        problem = f"needs roughly {format_gib(need)} of memory ({parts}), and {total} are there for it"
        rung = estimate.first_rung(plan.spec, plan.base, longest, room - weights)
        if rung:
            advice = f"nothing is to be done: it will train with {rung}, as far as it needs it"
        else:
            advice = "lower max_seq_length, or use a smaller or quantized base"
        yield plan.finding("memory", level, "", problem, advice)


CHECKS: tuple[Callable[[TrainingPlan], Findings], ...] = (
    base, layers, keys, rank, batch, delimiters, epochs, too_long, positions, fully_masked, disk, memory,
)  # fmt: skip


def check(plan: TrainingPlan) -> list[PreflightFinding]:
    """Return the findings of all checks."""
    return [finding for function in CHECKS for finding in function(plan)]
