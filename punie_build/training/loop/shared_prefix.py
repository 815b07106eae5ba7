"""Shared prefixes: the tokens that the rows of a batch have in common are computed once, with equal gradients.

The prefix is one sequence (1, prefix), whose keys and values every layer records. The remainders of the rows
(rows, length) attend to these keys and values, which take part in the gradient like all others. The models of mlx-lm
ask the cache that they are passed for keys, values and masks, so that any of them is trained without a change to its
code. Layers that carry a state from token to token, such as convolutions and recurrences, have other caches:
`problem` refuses them, and tests loss and gradients of all others against a plain batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from punie_build.training.loop import gradient_trial
from punie_build.training.token_file import TokenRows

TRIAL_TOKENS = 64  # tokens of the longest trial prefix, if the model has no sliding window
LossOf = Callable[[mx.array, mx.array, Any], mx.array]  # inputs, targets, caches -> summed loss


class PrefixRecorder:
    """A cache that records the keys and values (1, heads, prefix, size) of one layer."""

    offset = 0
    keys: mx.array
    values: mx.array

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Record keys and values, and return them."""
        self.keys, self.values = keys, values
        return keys, values

    def make_mask(self, length: int, *, window_size: int | None = None, **_: Any) -> mx.array:
        """Return the causal mask (length, length), limited to a sliding window if the layer has one."""
        return _mask(0, length, window_size)

    def local(self, _arrays: tuple[mx.array, ...]) -> PrefixRecorder:
        """Return a recorder for a recomputed layer."""
        return PrefixRecorder()


class PrefixedCache:
    """A cache of one layer whose first keys and values are those of a prefix, for every row."""

    def __init__(self, recorder: PrefixRecorder, offset: int) -> None:
        """Take the recorder of the prefix, and its length in tokens."""
        self.recorder, self.offset = recorder, offset

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Return keys and values with those of the prefix before them."""
        prefix = self.recorder.keys, self.recorder.values
        both = zip(prefix, (keys, values), strict=True)
        result = [mx.concatenate([mx.broadcast_to(a, (b.shape[0], *a.shape[1:])), b], axis=2) for a, b in both]
        return result[0], result[1]

    def make_mask(self, length: int, *, window_size: int | None = None, **_: Any) -> mx.array:
        """Return the causal mask (length, prefix + length), limited to a sliding window if the layer has one."""
        return _mask(self.offset, length, window_size)

    def local(self, arrays: tuple[mx.array, ...]) -> PrefixedCache:
        """Return a cache for a recomputed layer, with the keys and values of the prefix as its own arrays."""
        recorder = PrefixRecorder()
        recorder.keys, recorder.values = arrays
        return PrefixedCache(recorder, self.offset)


def _mask(offset: int, length: int, window_size: int | None) -> mx.array:
    queries, keys = mx.arange(offset, offset + length)[:, None], mx.arange(offset + length)[None]
    mask = keys <= queries
    return mask if window_size is None else mask & (queries < keys + window_size)


def prefix_caches(model: nn.Module, run: Callable[[list[Any]], object], length: int) -> list[PrefixedCache]:
    """Return the caches of rows that begin with a prefix of `length` tokens. `run` computes it with given caches."""
    recorders = [PrefixRecorder() for _ in make_prompt_cache(model)]
    run(recorders)
    return [PrefixedCache(recorder, length) for recorder in recorders]


def checkpoint_layers(layer: nn.Module) -> None:
    """Let all layers of this type recompute their activations in the backward pass, with and without caches.

    The keys and values of a prefix are inputs and outputs of the recomputed function. mlx-lm's `grad_checkpoint`
    leaves them out: the loss stays equal, and the gradient loses all that goes through the prefix. It also draws
    other masks of dropout when it computes a layer again, whose gradients then belong to another loss.
    """
    layer_type: Any = type(layer)
    compute = layer_type.__call__

    def recomputed(self: nn.Module, *arguments: Any, **keywords: Any) -> Any:
        caches = [
            value for value in (*arguments, *keywords.values()) if isinstance(value, PrefixRecorder | PrefixedCache)
        ]
        cache = caches[0] if caches else None
        prefix = (cache.recorder.keys, cache.recorder.values) if isinstance(cache, PrefixedCache) else ()
        seeds = iter([None, random_seed()])  # of the first computation, and of the second one

        def inner(parameters: Any, prefix: tuple[mx.array, ...], arguments: Any, keywords: dict[str, Any]) -> Any:
            self.update(parameters)
            with drawing_from(next(seeds)):
                return computed(prefix, arguments, keywords)

        def computed(prefix: tuple[mx.array, ...], arguments: Any, keywords: dict[str, Any]) -> Any:
            local = cache.local(prefix) if cache else None
            swapped = [local if cache and value is cache else value for value in arguments]
            named = {name: local if cache and value is cache else value for name, value in keywords.items()}
            output = compute(self, *swapped, **named)
            if not isinstance(local, PrefixRecorder):
                return (output,)
            return output, local.keys[None], local.values[None]  # as views: of an array that is also in the output of
            # the layer, as in gemma4, mlx counts one gradient only

        checkpointed: Any = mx.checkpoint(inner)  # whose inputs are all arrays in these trees, as shared keys of gemma4
        output, *recorded = checkpointed(self.trainable_parameters(), prefix, arguments, keywords)
        if isinstance(cache, PrefixRecorder):
            cache.keys, cache.values = (array.squeeze(0) for array in recorded)
        return output

    layer_type.__call__ = recomputed


def random_seed() -> int:
    """Return the seed from which mlx draws its next random numbers, as if nothing had been drawn before."""
    state: Any = mx.random.state
    high, low = state[0].tolist()
    return int(high) << 32 | int(low)


@contextmanager
def drawing_from(seed: int | None) -> Iterator[None]:
    """Draw random numbers from a seed inside the block, and go on as before it; with None, draw as always."""
    if seed is None:
        yield
        return
    after = random_seed()
    mx.random.seed(seed)
    try:
        yield
    finally:
        mx.random.seed(after)


def problem(model: nn.Module, rows: TokenRows, window: int = 0) -> str:
    """Return why the rows of a batch cannot share a prefix exactly, or an empty string.

    Compares loss and gradients of a trial with those of a plain batch. Its prefix is longer than the sliding `window`
    of the model, in tokens.
    """
    return try_out(model, lambda: _trial(model, rows, window))


def try_out(model: nn.Module, trial: Callable[[], str]) -> str:
    """Return why a model cannot compute a prefix once: because of its layers, or by a trial that says so or fails. An
    empty string if it can."""
    try:
        return state_problem(model) or trial()
    except Exception as error:  # a model with its own idea of caches may fail in any way
        return f"its layers cannot be computed with a prefix ({type(error).__name__}: {error})"


def sliding_window(model: nn.Module, rows: Mapping[str, TokenRows]) -> int:
    """Return the sliding window of a model in tokens, or 0 if it has none that is shorter than the longest row."""
    arguments = getattr(model, "args", None)
    sources = [arguments, *(getattr(arguments, name, None) for name in ("text_config", "thinker_config"))]
    longest = max(max(split.lengths) for split in rows.values())
    for source in sources:
        for name in ("sliding_window", "sliding_window_size", "window_size", "attention_window_size"):
            window = source.get(name) if isinstance(source, dict) else getattr(source, name, None)
            if isinstance(window, int) and 0 < window < longest:
                return window
    return 0


def state_problem(model: nn.Module) -> str:
    """Return which state layers of a model carry from token to token, or an empty string."""
    kinds = {type(cache) for cache in make_prompt_cache(model)}
    others = sorted(kind.__name__ for kind in kinds if kind not in (KVCache, RotatingKVCache))
    return f"its layers keep a state ({', '.join(others)}), not only keys and values" if others else ""


def _trial(model: nn.Module, rows: TokenRows, window: int) -> str:
    """Return how far the gradients of a shared batch are from those of plain ones of two sizes, or an empty string."""
    tokens = rows.ids[: max(TRIAL_TOKENS, window + 8) + 24].astype("int32").tolist()
    while len(tokens) < window + 32:
        tokens += tokens
    prefix = tokens[: max(len(tokens) // 2, window + 8)]
    tails = [tokens[start : start + 9] for start in (0, 3, 7)]
    full = mx.array([prefix + tail for tail in tails])
    start = len(prefix)

    def loss(logits: mx.array, targets: mx.array) -> mx.array:
        summed: mx.array = nn.losses.cross_entropy(logits.astype(mx.float32), targets).sum()
        return summed

    def plain(_: nn.Module) -> mx.array:
        return loss(model(full[:, :-1])[:, start:], full[:, start + 1 :])

    def single(_: nn.Module) -> mx.array:
        return mx.stack([loss(model(row[None, :-1])[:, start:], row[None, start + 1 :]) for row in full]).sum()

    def shared(_: nn.Module) -> mx.array:
        caches = prefix_caches(model, lambda recorders: model(full[:1, :start], cache=recorders), start)
        return loss(model(full[:, start:-1], cache=caches), full[:, start + 1 :])

    return gradient_trial.problem(model, plain, shared, single)
