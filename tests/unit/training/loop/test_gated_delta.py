"""The gated delta rule in chunks has the outputs, states and gradients of mlx-lm's loop."""

from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import kimi_linear, qwen3_5, qwen3_next
from mlx_lm.models import llama as llama_module
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model

from punie_build.evaluation import canary, in_process, request
from punie_build.evaluation.in_process import InferenceJob
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.export.process import export
from punie_build.export.spec import Model
from punie_build.training import token_file
from punie_build.training.loop import gated_delta
from punie_build.training.loop.gated_delta import ORIGINAL, gated_delta_update, trial_inputs
from punie_build.training.tokenization import TokenizedRow
from tests.support import tiny_bases
from tests.support.tiny_training import LLAMA, events, spec, train

TEXT = {
    "model_type": "qwen3_5_text",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "vocab_size": 64,
    "full_attention_interval": 2,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "max_position_embeddings": 1000,
    "tie_word_embeddings": True,
}


def close(expected: mx.array, result: mx.array, tolerance: float = 1e-4) -> bool:
    return bool((mx.abs(expected - result).max() <= tolerance * mx.maximum(mx.abs(expected).max(), 1e-3)).item())


def results(rule, arrays, **options):
    def total(*arguments):
        output, state = rule(*arguments, use_kernel=False, **options)
        return (output * weights).sum() + (state * state).sum()

    weights = mx.random.normal(arrays[2].shape, key=mx.random.key(9))
    output, state = rule(*arrays, use_kernel=False, **options)
    return [output, state, *mx.grad(total, argnums=tuple(range(len(arrays))))(*arrays)]


@pytest.mark.parametrize("vector_decays", [False, True])
@pytest.mark.parametrize(("length", "heads", "key_heads"), [(1, 2, 2), (9, 4, 2), (150, 2, 1)])
@pytest.mark.slow
def test_outputs_states_and_gradients_are_those_of_the_loop(length, heads, key_heads, vector_decays):
    arrays = trial_inputs(length, heads, 16, vector_decays=vector_decays)
    arrays[0], arrays[1] = arrays[0][:, :, :key_heads], arrays[1][:, :, :key_heads]
    for expected, result in zip(results(ORIGINAL, arrays), results(gated_delta_update, arrays), strict=True):
        assert close(expected, result, 1e-3)


@pytest.mark.parametrize("options", [{"lower_bound": -5.0}, {"allow_neg_eigval": True}])
def test_the_options_of_the_loop_are_kept(options):
    arrays = trial_inputs(70, vector_decays=False)
    both = (results(rule, arrays, **options) for rule in (ORIGINAL, gated_delta_update))
    for expected, result in zip(*both, strict=True):
        assert close(expected, result, 1e-3)


@pytest.mark.slow
def test_a_masked_position_leaves_the_state_as_it_is():
    arrays = trial_inputs(70, vector_decays=True)
    mask = mx.arange(70)[None] < mx.array([[70], [33]])
    expected, result = (rule(*arrays, mask=mask, use_kernel=False) for rule in (ORIGINAL, gated_delta_update))
    assert close(expected[1], result[1])
    assert close(expected[0] * mask[..., None, None], result[0] * mask[..., None, None])


def test_equal_keys_with_little_decay_lose_no_digits():
    """The powers of a triangular matrix of ones have entries of 1e18; their sum has entries of 1."""
    arrays = trial_inputs(128, vector_decays=False)
    arrays[1] = mx.broadcast_to(arrays[1][:, :1], arrays[1].shape)
    arrays[3], arrays[4] = mx.full(arrays[3].shape, -12.0), mx.full(arrays[4].shape, 12.0)
    for expected, result in zip(results(ORIGINAL, arrays)[:2], results(gated_delta_update, arrays)[:2], strict=True):
        assert close(expected, result)


def test_a_decay_below_the_smallest_float_has_finite_gradients():
    arrays = trial_inputs(80, vector_decays=False)
    arrays[3] = mx.full(arrays[3].shape, 300.0)
    assert all(bool(mx.isfinite(array).all().item()) for array in results(gated_delta_update, arrays))


def test_the_chunks_hold_a_tenth_of_the_memory_of_the_loop():
    arrays = trial_inputs(256, 4, 64, vector_decays=False)
    peaks = []
    for rule in (ORIGINAL, gated_delta_update):
        mx.eval(arrays)
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(results(rule, arrays)[2:])
        peaks.append(mx.get_peak_memory() - before)
    assert peaks[1] < peaks[0] / 4


def losses_and_gradients(model: nn.Module, ids: mx.array):
    def loss(_model):
        return nn.losses.cross_entropy(model(ids[:, :-1]).astype(mx.float32), ids[:, 1:]).sum()

    value, gradients = nn.value_and_grad(model, loss)(model)
    return [value, *(array for _, array in tree_flatten(gradients))]


def test_a_hybrid_model_has_the_same_loss_and_gradients_after_installation():
    mx.random.seed(3)
    model = qwen3_5.TextModel(qwen3_5.TextModelArgs.from_dict(TEXT))
    model.train()
    ids = mx.random.randint(0, 64, (2, 90))
    expected = losses_and_gradients(model, ids)
    try:
        assert gated_delta.install(model) == ""
        assert qwen3_5.gated_delta_update is gated_delta_update
        assert kimi_linear.gated_delta_update is ORIGINAL
        for before, after in zip(expected, losses_and_gradients(model, ids), strict=True):
            assert close(before, after, 1e-3)
    finally:
        qwen3_5.gated_delta_update = qwen3_next.gated_delta_update = ORIGINAL  # whose norms qwen3_5 uses


def test_a_model_without_the_rule_is_left_alone():
    assert gated_delta.install(llama_module.Model(llama_module.ModelArgs.from_dict(LLAMA))) == ""


@pytest.fixture
def loops_afterwards() -> Iterator[None]:
    """Put the loops of mlx-lm back in place, which a training of a hybrid replaces in this process."""
    yield
    for module in (kimi_linear, qwen3_5, qwen3_next):
        module.gated_delta_update = ORIGINAL


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.rope_scaling. is deprecated")  # by the configuration that mlx-lm reads
@pytest.mark.parametrize(
    "name", ["qwen3_5", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("qwen3_next", "kimi_linear"))]
)
def test_a_hybrid_is_trained_resumed_fused_and_asked(tmp_path, capsys, name, loops_afterwards):
    tiny_bases.write_base(tmp_path / "base", name)
    (tmp_path / "tokens").mkdir()
    system = [(7 * index) % 60 for index in range(70)]
    for split, count in (("train", 9), ("valid", 3)):
        writer = token_file.TokenWriter()
        for line in range(1, count + 1):
            writer.add(line, TokenizedRow([*system, line, 3, 5, line], [False] * 71 + [True] * 3))
        writer.save(tmp_path / f"tokens/{split}.safetensors")
    adapter = spec(batch_size=3, iters=4, steps_per_eval=2, save_every=2, keep="last")
    assert adapter.for_rows(token_file.load(tmp_path / "tokens/train.safetensors")).batching == "prefix"
    whole = train(tmp_path, tmp_path / "whole", adapter)
    assert train(tmp_path, tmp_path / "killed", adapter, 5) == whole
    [start], validations = events(whole, "start"), events(whole, "valid")
    assert start["batching"] == "bucket"
    assert "cannot share prefixes: its layers keep a state" in capsys.readouterr().out
    assert validations[-1]["loss"] < validations[0]["loss"]
    out, fused_folder = tmp_path / "whole/out", tmp_path / "fused"
    fused_folder.mkdir()
    export(Model(adapter="a"), tmp_path / "base", out, fused_folder)
    ids = mx.array([system[:20]])
    (adapted, _), (fused, _) = load_model(tmp_path / "base"), load_model(fused_folder)
    plain = load_model(tmp_path / "base")[0](ids)
    load_adapters(adapted, str(out))
    adapted.eval()
    assert close(adapted(ids), fused(ids), 1e-3)
    assert not close(plain, fused(ids), 1e-3)
    by_adapter, by_fused = answers(tmp_path / "base", out), answers(fused_folder, None)
    assert by_adapter.completions == by_fused.completions
    assert canary.distance(by_adapter.canaries[0], by_fused.canaries[0]) < 0.01


def answers(model: Path, adapter: Path | None) -> ResponseCache:
    """Return what the batch engine of an eval answers to two prompts of different lengths, and its canaries."""
    cache = model.parent / f"answers-{model.name}.jsonl"
    texts = ("word", "a longer prompt of several words")
    requests = {text: request.build([{"role": "user", "content": text}], max_tokens=5) for text in texts}
    in_process.main(
        InferenceJob(model=str(model), adapter=adapter and str(adapter), cache_file=str(cache), requests=requests)
    )
    found = ResponseCache(cache)
    assert set(found.completions) == set(texts)
    return found
