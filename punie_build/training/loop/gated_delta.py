"""The gated delta rule in chunks, for training hybrid bases such as Qwen3.5, Qwen3-Next and Kimi-Linear.

mlx-lm trains these layers by a loop over positions, whose backward pass holds the state of every position: 1,128 MB
for one layer with 16 heads of 128 x 128 at 256 positions. The rule is linear within a chunk, so a chunk is a few
matrix products, and only the states between chunks are held. The algorithm is that of Yang et al., "Parallelizing
Linear Transformers with the Delta Rule over Sequence Length" (2024) and "Gated Delta Networks" (2024).

Decays are passed as logarithms, because the difference of two logarithms is exact where the quotient of two decays
underflows. The triangular system of a chunk is inverted by blocks: the series of its powers would lose all digits
where neighboring keys are alike.
"""

from __future__ import annotations

import sys
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models import gated_delta

SEGMENT = (
    128  # positions that the backward pass computes again together, so that it holds the inputs of the others only
)
CHUNK = 64  # positions of a chunk with one decay for each head
VECTOR_CHUNK = 8  # with one decay for each key dimension: the chunk's decays are (CHUNK, CHUNK, key dimension)
FLOOR = -30.0  # logarithm of the strongest decay: exp(-30) is below the rounding of float32, its gradient is 0
TOLERANCE = 1e-3  # of the largest value; mlx-lm's loop and these products round in another order
ORIGINAL = gated_delta.gated_delta_update


def gated_delta_rule(
    queries: mx.array, keys: mx.array, values: mx.array, log_decays: mx.array, betas: mx.array, state: mx.array
) -> tuple[mx.array, mx.array]:
    """Return the outputs (batch, length, heads, value dim) and the state after the last position.

    `queries` and `keys` are (batch, length, key heads, key dim), `values` (batch, length, heads, value dim), `betas`
    (batch, length, heads), `log_decays` (batch, length, heads) or (batch, length, heads, key dim), `state`
    (batch, heads, value dim, key dim).
    """
    outputs = []
    for start in range(0, keys.shape[1], SEGMENT):
        positions = slice(start, start + SEGMENT)
        arrays = [array[:, positions] for array in (queries, keys, values, log_decays, betas)]
        recomputed: Any = mx.checkpoint(_segment)
        output, state = recomputed(*arrays, state)
        outputs.append(output)
    return mx.concatenate(outputs, axis=1), state


def _segment(
    queries: mx.array, keys: mx.array, values: mx.array, log_decays: mx.array, betas: mx.array, state: mx.array
) -> tuple[mx.array, mx.array]:
    """Return outputs and state of the positions of a segment, by chunks."""
    batch, length, key_heads, _ = keys.shape
    heads = values.shape[-2]
    if heads != key_heads:
        queries, keys = (mx.repeat(array, heads // key_heads, axis=-2) for array in (queries, keys))
    is_vector = log_decays.ndim == 4
    size = VECTOR_CHUNK if is_vector else CHUNK
    count = -(-length // size)

    def chunks(array: mx.array) -> mx.array:
        """Return (batch, length, heads, ...) as (batch, heads, chunks, size, ...), padded with zeros."""
        padding = [(0, 0), (0, count * size - length)] + [(0, 0)] * (array.ndim - 2)
        moved = mx.moveaxis(mx.pad(array.astype(mx.float32), padding), 2, 1)
        return moved.reshape(batch, heads, count, size, *array.shape[3:])

    q, k, v, beta = chunks(queries), chunks(keys), chunks(values), chunks(betas)[..., None]
    decay = mx.cumsum(
        chunks(mx.maximum(log_decays, FLOOR)), axis=3
    )  # from the start of the chunk, each position included
    decay = decay if is_vector else decay[..., None]
    last = decay[..., -1:, :]
    inverse = _inverse(-beta * _decayed_products(k, k, decay, strict=True))
    new_values = inverse @ (v * beta)
    new_keys = inverse @ (k * beta * mx.exp(decay))
    attention = _decayed_products(q, k, decay, strict=False)
    read, write = q * mx.exp(decay), mx.swapaxes(k * mx.exp(last - decay), -1, -2)
    total = mx.swapaxes(mx.exp(last), -1, -2)
    carry = mx.swapaxes(state.astype(mx.float32), -1, -2)  # (batch, heads, key dim, value dim)
    outputs = []
    for index in range(count):
        delta = new_values[:, :, index] - new_keys[:, :, index] @ carry
        outputs.append(read[:, :, index] @ carry + attention[:, :, index] @ delta)
        carry = carry * total[:, :, index] + write[:, :, index] @ delta
    output = mx.concatenate(outputs, axis=2)[:, :, :length]
    return mx.moveaxis(output, 1, 2).astype(queries.dtype), mx.swapaxes(carry, -1, -2)


def _decayed_products(rows: mx.array, columns: mx.array, decay: mx.array, *, strict: bool) -> mx.array:
    """Return rows · columns with the decay between their positions, (..., size, size), 0 above the diagonal.

    With `strict` the diagonal is 0 as well.
    """
    lower = mx.tri(rows.shape[-2], k=-1 if strict else 0) > 0
    if decay.shape[-1] == 1:
        between = mx.where(lower, decay - mx.swapaxes(decay, -1, -2), -mx.inf)
        return (rows @ mx.swapaxes(columns, -1, -2)) * mx.exp(between)
    between = mx.where(lower[..., None], decay[..., :, None, :] - decay[..., None, :, :], -mx.inf)
    return (rows[..., :, None, :] * columns[..., None, :, :] * mx.exp(between)).sum(-1)


def _inverse(matrix: mx.array) -> mx.array:
    """Return the inverse of I - matrix, for strictly lower triangular matrices (..., size, size), by blocks."""
    size = matrix.shape[-1]
    inverse = mx.ones((*matrix.shape[:-2], size, 1, 1))  # the inverse of each diagonal block
    width = 1
    while width < size:
        first = mx.arange(0, size, 2 * width)[:, None] + mx.arange(width)  # (pairs of blocks, width)
        below = matrix[..., first[:, :, None] + width, first[:, None, :]]
        upper, lower = inverse[..., 0::2, :, :], inverse[..., 1::2, :, :]
        inverse = mx.concatenate(
            [
                mx.concatenate([upper, mx.zeros_like(upper)], axis=-1),
                mx.concatenate([lower @ below @ upper, lower], axis=-1),
            ],
            axis=-2,
        )
        width *= 2
    return inverse[..., 0, :, :]


def gated_delta_update(  # noqa: PLR0913, PLR0917  (the signature of mlx-lm)
    q: mx.array,
    k: mx.array,
    v: mx.array,
    a: mx.array,
    b: mx.array,
    A_log: mx.array,  # noqa: N803  (the names of mlx-lm, which passes some of them as keywords)
    dt_bias: mx.array,
    state: mx.array | None = None,
    mask: mx.array | None = None,
    *,
    use_kernel: bool = True,
    lower_bound: float | None = None,
    allow_neg_eigval: bool = False,
) -> tuple[mx.array, mx.array]:
    """Compute mlx-lm's function of this name in chunks. Its Metal kernel, without gradients, is used where it was."""
    if use_kernel and mx.default_device() == mx.gpu and mx.metal.is_available():
        options = {"use_kernel": True, "lower_bound": lower_bound, "allow_neg_eigval": allow_neg_eigval}
        result: tuple[mx.array, mx.array] = ORIGINAL(q, k, v, a, b, A_log, dt_bias, state, mask, **options)
        return result
    rate = mx.exp(A_log.astype(mx.float32))
    if lower_bound is None:
        log_decays = -rate * nn.softplus(a + dt_bias).astype(mx.float32)
    else:
        log_decays = lower_bound * mx.sigmoid(rate * (a.astype(mx.float32) + dt_bias))
    betas = mx.sigmoid(b) * (2.0 if allow_neg_eigval else 1.0)
    if mask is not None:  # a masked position leaves the state as it is
        betas = mx.where(mask[..., None], betas, 0)
        log_decays = mx.where(mask.reshape(*mask.shape, *[1] * (log_decays.ndim - 2)), log_decays, 0)
    if state is None:
        state = mx.zeros((q.shape[0], *v.shape[-2:], q.shape[-1]), dtype=mx.float32)
    return gated_delta_rule(q, k, v, log_decays, betas, state)


def install(model: nn.Module) -> str:
    """Let the layers of a model that have a gated delta rule compute it in chunks, in this process.

    Returns an empty string, or a sentence with the gap if the chunks do not agree with mlx-lm's loop on trial inputs,
    in which case the loop stays.
    """
    modules = {sys.modules[type(layer).__module__] for _, layer in model.named_modules()}
    users = [module for module in modules if getattr(module, "gated_delta_update", None) is ORIGINAL]
    if not users:
        return ""
    if (gap := max(_gap(vector_decays=False), _gap(vector_decays=True))) > TOLERANCE:
        return f"the gated delta rule in chunks differs from mlx-lm's loop by {gap:.1e} - the loop is used instead"
    for module in users:
        module.gated_delta_update = gated_delta_update  # type: ignore[attr-defined]
    return ""


def _gap(*, vector_decays: bool) -> float:
    """Return the largest relative difference to mlx-lm's loop, of the outputs and of all gradients."""
    arrays = trial_inputs(vector_decays=vector_decays)
    gaps: list[float] = []
    loop, chunked = (_results(rule, arrays) for rule in (ORIGINAL, gated_delta_update))
    for expected, result in zip(loop, chunked, strict=True):
        gap: Any = mx.abs(expected - result).max() / mx.maximum(mx.abs(expected).max(), 1e-12)
        gaps.append(gap.item())
    return max(gaps)


def trial_inputs(length: int = 80, heads: int = 2, size: int = 16, *, vector_decays: bool) -> list[mx.array]:
    """Return random arguments q, k, v, a, b, A_log, dt_bias of the rule: alike keys, strong and weak decays."""
    draw = [mx.random.key(number) for number in range(7)]
    q, k, v = (mx.random.normal((2, length, heads, size), key=key) for key in draw[:3])
    k = k * 0.3 + k[:, :1]  # neighboring keys are alike
    q, k = (array / mx.linalg.norm(array, axis=-1, keepdims=True) for array in (q, k))
    gates = (heads, size) if vector_decays else (heads,)
    a, b = mx.random.normal((2, length, *gates), key=draw[3]), mx.random.normal((2, length, heads), key=draw[4])
    rates = mx.random.normal((heads, 1) if vector_decays else (heads,), key=draw[5])
    return [q, k, v, a, b, rates, mx.random.normal(gates, key=draw[6])]


def _results(rule: Any, arrays: list[mx.array]) -> list[mx.array]:
    """Return the outputs of a rule, and the gradients of a weighted sum of them."""

    def total(*arguments: mx.array) -> mx.array:
        output, state = rule(*arguments, use_kernel=False)
        summed: mx.array = (output * weights).sum() + state.sum()
        return summed

    weights = mx.random.normal(arrays[2].shape, key=mx.random.key(7))
    gradients = mx.grad(total, argnums=tuple(range(len(arrays))))(*arrays)
    results = [rule(*arrays, use_kernel=False)[0], *gradients]
    mx.eval(results)
    return results
