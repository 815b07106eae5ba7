"""Models of a trained adapter: fused, quantized, verified, measured, served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models import llama
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

from punie_build.engine import state
from punie_build.engine.build import build
from punie_build.errors import ModelError, RecipeError
from punie_build.export import model_folder
from punie_build.export.job import ExportResult, Fidelity
from punie_build.export.process import export
from punie_build.export.spec import Model
from punie_build.export.steps import check_disk_space, warnings
from punie_build.models.precision import set_compute_precision
from punie_build.project import Project
from punie_build.storage import digests, locks, paths
from punie_build.training.loop.lora import apply_adapter, lora_parameters
from punie_build.training.spec import Adapter, Lora
from tests.support.doit_runner import doit
from tests.support.project import create

NANO = paths.nano()
RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 45 }
[adapter.tiny]
base = "nano"
data = "sample"
iters = 16
batch_size = 2
learning_rate = 1e-2
lora = { rank = 4, scale = 5.0 }
[model.full]
adapter = "tiny"
[model.q2]
adapter = "tiny"
bits = 2
[suite.one]
file = "one.toml"
[eval.q2]
arm = "q2"
suite = "one"
max_tokens = 4
"""
SUITE = '[[case]]\nid = "a"\ncategory = "c"\nprompt = "Hello"\nchecks = [{ type = "no-call" }]\n'


@pytest.fixture(scope="module")
def built(tmp_path_factory, shared_store) -> tuple[Path, str]:
    """The built project, and the output of its build."""
    root = create(tmp_path_factory.mktemp("project"), RECIPE, {"one.toml": SUITE})
    return root, doit(root, PUNIE_BUILD_STORE=shared_store)


@pytest.fixture(scope="module")
def adapter(built) -> Path:
    return built[0] / "adapters" / "tiny"


def lock(root: Path, target: str) -> locks.Lock:
    lock = locks.read(root / f"{target}.lock.json")
    assert lock
    return lock


def quantization(folder: Path) -> dict:
    return model_folder.read_config(folder).get("quantization", {})


def test_a_fused_model_agrees_with_its_adapter(built):
    root, output = built
    metrics = lock(root, "models/full").metrics
    assert metrics["agreement"] == 1.0
    assert metrics["gain_retained"] == pytest.approx(1.0, abs=1e-3)
    assert metrics["loss"] < metrics["loss_base"]
    assert "agreement 100.0%" in output
    assert "quantization" not in model_folder.read_config(root / "models" / "full")


@pytest.mark.nightly
def test_few_bits_reduce_the_fidelity_that_the_lock_records(built):
    metrics = lock(built[0], "models/q2").metrics
    assert metrics["agreement"] < 1.0
    assert metrics["loss"] > metrics["loss_adapter"]
    assert metrics["bits_per_weight"] < 3.1
    assert metrics["unquantised"] == 0


@pytest.mark.nightly
def test_a_model_answers_a_suite(built):
    root, output = built
    assert "1 cases passed" in output
    assert set(lock(root, Project.load(root).task("answers:q2@one@max_tokens-4").target).key_inputs.inputs) == {
        "models/q2"
    }


@pytest.mark.nightly
def test_the_bytes_of_a_model_do_not_depend_on_the_path_of_its_base(built, adapter, tmp_path):
    shutil.copytree(NANO, tmp_path / "elsewhere")
    export(Model(adapter="tiny", bits=2), NANO, adapter, tmp_path / "out")
    export(Model(adapter="renamed", bits=2), tmp_path / "elsewhere", adapter, tmp_path / "again")
    assert digests.of_folder(tmp_path / "out") == digests.of_folder(tmp_path / "again")
    root = built[0]
    task = Project.load(root).task("model:q2")
    before = lock(root, "models/q2").outputs
    assert build(root, task, afresh=True).action == "ran"
    assert lock(root, "models/q2").outputs == before
    assert set(before) == {*model_folder.companion_files(NANO), "config.json", "model.safetensors", model_folder.INDEX}


@pytest.mark.parametrize(
    ("fields", "bits", "group_size", "mode"),
    [
        ({"bits": 8}, 8, 64, "affine"),
        ({"bits": 6, "group_size": 32}, 6, 32, "affine"),
        ({"bits": 4, "dtype": "bfloat16"}, 4, 64, "affine"),
        ({"mode": "mxfp4"}, 4, 32, "mxfp4"),
        ({"bits": 8, "mode": "mxfp8"}, 8, 32, "mxfp8"),
        ({"mode": "nvfp4"}, 4, 16, "nvfp4"),
        ({"bits": 16, "dtype": "float16"}, None, None, None),
    ],
)
def test_a_model_has_the_quantization_of_its_recipe(adapter, tmp_path, fields, bits, group_size, mode):
    spec = Model(adapter="tiny", **fields)
    export(spec, NANO, adapter, tmp_path)
    assert list(model_folder.model(tmp_path, spec, NANO)) == []
    settings = quantization(tmp_path)
    assert (settings.get("bits"), settings.get("group_size"), settings.get("mode")) == (bits, group_size, mode)
    assert model_folder.estimate_bytes(NANO, spec) == pytest.approx(
        (tmp_path / "model.safetensors").stat().st_size, rel=0.05
    )
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".md", ".py")]
    load_model(tmp_path)


def random_adapter(base: Path, kind: str, folder: Path) -> Path:
    """Write an adapter of this kind with random weights."""
    spec = Adapter(base="nano", data="d", fine_tune_type=kind, num_layers=1, lora=Lora(rank=2, scale=2.0))
    model, _ = load_model(base)
    apply_adapter(model, spec)
    weights = tree_map(lambda value: value + 0.02 * mx.random.normal(value.shape), model.trainable_parameters())
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), dict(tree_flatten(weights)))
    config = {"fine_tune_type": kind, "num_layers": 1, "lora_parameters": lora_parameters(spec)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def logits(folder: Path, adapter: Path | None = None) -> np.ndarray:
    model, _ = load_model(folder)
    if adapter:
        load_adapters(model, str(adapter))
        model.eval()
    return np.array(model(mx.array([[5, 9, 40, 7, 11, 300]])).astype(mx.float32))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["dora", "full"])
def test_every_fine_tune_type_can_be_fused(tmp_path, kind):
    adapter = random_adapter(NANO, kind, tmp_path / "adapter")
    export(Model(adapter="a"), NANO, adapter, tmp_path / "out")
    assert not np.allclose(logits(NANO), logits(NANO, adapter), atol=1e-2)
    assert np.allclose(logits(tmp_path / "out"), logits(NANO, adapter), atol=1e-3)


def small_llama(folder: Path, hidden_size: int = 64, intermediate_size: int = 96, bits: int | None = None) -> Path:
    """Write a llama of one layer with nano's tokenizer. The input of its down_proj has the intermediate size."""
    config = {
        "model_type": "llama",
        "hidden_size": hidden_size,
        "num_hidden_layers": 1,
        "intermediate_size": intermediate_size,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "vocab_size": 2048,
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "_name_or_path": "/somewhere/llama",
    }
    mx.random.seed(1)
    model = llama.Model(llama.ModelArgs.from_dict(config))
    if bits:
        model, config = quantize_model(model, config, 32, bits)
    save_model(folder, model)
    save_config(config, folder / "config.json")
    for name in model_folder.companion_files(NANO):
        shutil.copy(NANO / name, folder / name)
    return folder


def test_layers_without_a_fitting_group_size_are_listed(tmp_path):
    base, spec = small_llama(tmp_path / "base"), Model(base="b", bits=4)
    result = export(spec, base, None, tmp_path / "out")
    assert result.unquantized == ["model.layers.0.mlp.down_proj"]
    assert quantization(tmp_path / "out")["model.layers.0.mlp.down_proj"] is False
    assert list(model_folder.model(tmp_path / "out", spec, base)) == []
    load_model(tmp_path / "out")
    assert "down_proj" in warnings(spec, result)[0]
    fitting = Model(base="b", bits=4, group_size=32)
    assert export(fitting, base, None, tmp_path / "fitting").unquantized == []


def test_a_base_without_a_quantizable_layer_is_an_error(tmp_path):
    base = small_llama(tmp_path / "base", hidden_size=80, intermediate_size=80)
    with pytest.raises(
        SystemExit, match="no layer can be quantized - their inputs are 80 wide; no group_size fits all"
    ):
        export(Model(base="b", bits=4), base, None, tmp_path / "out")
    base = small_llama(tmp_path / "other", hidden_size=96)
    with pytest.raises(SystemExit, match="set group_size = 32"):
        export(Model(base="b", bits=4), base, None, tmp_path / "out")


def test_a_quantized_base_stays_quantized_or_is_exported_in_full_precision(tmp_path):
    base = small_llama(tmp_path / "base", bits=4)
    adapter = random_adapter(base, "lora", tmp_path / "adapter")
    specs = {
        "same": Model(adapter="a"),
        "full": Model(adapter="a", bits=16),
        "eight": Model(adapter="a", bits=8, group_size=32),
    }
    for name, spec in specs.items():
        export(spec, base, adapter, tmp_path / name)
        assert list(model_folder.model(tmp_path / name, spec, base)) == []
    assert quantization(tmp_path / "same")["bits"] == 4
    expected = logits(base, adapter)
    assert np.allclose(logits(tmp_path / "full"), expected, atol=1e-3)
    assert np.abs(logits(tmp_path / "eight") - expected).max() < np.abs(logits(tmp_path / "same") - expected).max()


@pytest.mark.skipif(mx.default_device() != mx.Device(mx.cpu), reason="a GPU computes in the precision of the weights")
def test_a_cpu_computes_with_the_values_of_quantized_weights_in_float32(tmp_path):
    base = small_llama(tmp_path / "base", bits=4)
    model, _ = load_model(base)
    set_compute_precision(model, expand=False)
    assert "model.layers.0.mlp.up_proj.scales" in dict(tree_flatten(model.parameters()))
    set_compute_precision(model)
    assert {value.dtype for _, value in tree_flatten(model.parameters())} == {mx.float32}
    outputs = model(mx.array([[5, 9, 40, 7, 11, 300]]))
    assert np.allclose(np.array(outputs), logits(base), atol=1e-4)


def test_gguf_is_written_beside_the_model(tmp_path):
    base, spec = small_llama(tmp_path / "base"), Model(base="b", gguf=True)
    for name in ("out", "again"):
        export(spec, base, None, tmp_path / name)
    assert list(model_folder.model(tmp_path / "out", spec, base)) == []
    assert digests.of_folder(tmp_path / "out") == digests.of_folder(tmp_path / "again")
    assert b"/somewhere" not in (tmp_path / "out" / "model.gguf").read_bytes()
    tensors = mx.load(str(tmp_path / "out" / "model.gguf"))
    assert tensors["blk.0.ffn_down.weight"].shape == (64, 96)
    (tmp_path / "out" / "model.gguf").write_bytes(b"GGUF" + bytes(12))
    assert list(model_folder.model(tmp_path / "out", spec, base)) == ["model.gguf: 0 tensors, the model has 12"]
    (tmp_path / "out" / "model.gguf").write_bytes(b"no")
    assert list(model_folder.model(tmp_path / "out", spec, base)) == ["model.gguf: not a GGUF file"]
    (tmp_path / "out" / "model.gguf").unlink()
    assert list(model_folder.model(tmp_path / "out", spec, base)) == ["model.gguf: No such file or directory"]


def rewrite(name: str, **changes: object):
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def requantized(**changes: object):
    def damage(folder: Path) -> None:
        rewrite("config.json", quantization=quantization(folder) | changes)(folder)

    return damage


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def change_shape(folder: Path) -> None:
    """Give a tensor a shape that differs from its bytes."""
    path = folder / "model.safetensors"
    text = path.read_bytes()
    size = int.from_bytes(text[:8], "little")
    path.write_bytes(text[:8] + text[8 : 8 + size].replace(b'"shape":[256]', b'"shape":[255]', 1) + text[8 + size :])


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (requantized(bits=4), "bits: recipe 2, config.json 4"),
        (requantized(bits=4), " and 24 more: config.json says 4 bits"),
        (requantized(group_size=32), "group_size: recipe 64, config.json 32"),
        (requantized(mode="mxfp4"), "mode: recipe affine, config.json mxfp4"),
        (requantized(mode="mxfp4"), " and 24 more: config.json says mxfp4, its tensors are of another mode"),
        (rewrite("config.json", quantization=None), "bits: recipe 2, config.json none"),
        (rewrite("generation_config.json", eos_token_id=7), "eos_token_id: base [0, 2], model [7]"),
        (
            rewrite("generation_config.json", eos_token_id=7),
            "generation_config.json: differs from the file of the base",
        ),
        (
            lambda folder: (folder / "chat_template.jinja").write_text("{{ x }}"),
            "chat_template.jinja: differs from the file",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json: the base has it, the model does not"),
        (truncate, "model.safetensors: not a whole safetensors file"),
        (change_shape, "model.layers.0.input_layernorm.weight: its bytes are not those of its shape"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "x"), "model.safetensors: the index names it"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: Expected `object`"),
        (lambda folder: (folder / model_folder.INDEX).unlink(), f"{model_folder.INDEX}: No such file or directory"),
        (
            rewrite(model_folder.INDEX, weight_map={"a.weight": "model.safetensors"}),
            "a.weight: the index names it, no file has it",
        ),
        (rewrite(model_folder.INDEX, weight_map={}), "model.embed_tokens.biases, "),
        (rewrite(model_folder.INDEX, metadata={"total_size": 1}), "total_size: the index says 1 bytes"),
    ],
)
def test_each_difference_of_a_model_from_its_recipe_is_a_line(built, tmp_path, damage, line):
    folder, spec = tmp_path / "q2", Model(adapter="tiny", bits=2)
    shutil.copytree(built[0] / "models" / "q2", folder)
    assert list(model_folder.model(folder, spec, NANO)) == []
    damage(folder)
    lines = list(model_folder.model(folder, spec, NANO))
    assert any(line in other for other in lines), lines


def test_another_quantization_than_that_of_the_recipe_is_a_difference(built):
    full, q2 = built[0] / "models" / "full", built[0] / "models" / "q2"
    assert "bits: recipe 8, no layer is quantized" in list(model_folder.model(full, Model(adapter="a", bits=8)))
    [line] = model_folder.model(q2, Model(adapter="a", bits=16))
    assert line.startswith("bits: recipe 16, 29 layers are quantized")
    assert next(model_folder.model(q2, Model(adapter="a"), NANO)).startswith("quantization: base none, model {")
    assert list(model_folder.model(full, Model(adapter="a", dtype="float16"))) == ["dtype: recipe float16, file F32"]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("bits = 4", ": a model is made from an 'adapter', or from a 'base' alone - give one of them"),
        (
            'base = "nano"',
            ": a model of a base alone needs 'bits', 'mode', 'dtype' or 'gguf' - give one, or use the base itself",
        ),
        ('base = "nano"\nbits = 7', ": bits 7: mode affine has 2, 3, 4, 5, 6, 8 or 16 - choose one"),
        ('base = "nano"\nbits = 4\nmode = "mxfp8"', ": bits 4: mode mxfp8 has 8 or 16 - choose one"),
        ('base = "nano"\nbits = 4\ngroup_size = 16', ": group_size 16: mode affine has 32, 64, 128 - choose one"),
        ('base = "nano"\nbits = 16\ngroup_size = 64', ": group_size and mode require a quantized model - give 'bits'"),
        ('base = "nano"\nbits = 4\ngguf = true', ": mlx-lm writes GGUF in full precision only - set bits = 16"),
        ('base = "nano"\ngguf = true', ".gguf: mlx-lm writes it for llama, mistral, mixtral, this base is qwen3"),
        ('base = "nano"\nbits = 1', ".bits: expected `int` >= 2"),
        ('base = "nano"\nbits = 4\nmode = "gptq"', ".mode: invalid enum value 'gptq'"),
        ('adapter = "nobody"', ".adapter: no adapter is called 'nobody'"),
        ('base = "mine"\nbits = 4', ": models/m is the folder of base.mine - choose another name"),
    ],
)
def test_an_impossible_model_is_an_error_before_any_build(recipes, table, problem):
    root = recipes(f'[base.mine]\npath = "models/m"\n[model.m]\n{table}\n')
    with pytest.raises(RecipeError) as error:
        Project.load(root)
    assert f"recipes/test.toml: model.m{problem.replace('`', chr(39))}" in str(error.value)


def test_too_little_disk_space_is_an_error():
    check_disk_space("model:m", 10, 10)
    with pytest.raises(ModelError, match=r"model:m: needs about 3.0 GiB of disk, .* 1.0 GiB are free - make room"):
        check_disk_space("model:m", 3 * 2**30, 2**30)


def test_a_low_fidelity_is_a_warning():
    def result(agreement: float, gain_retained: float | None = None) -> ExportResult:
        fidelity = Fidelity(
            loss_base=2.0, loss_adapter=1.0, loss=1.5, agreement=agreement, tokens=9.0, gain_retained=gain_retained
        )
        return ExportResult(unquantized=[], bits_per_weight=3.5, fidelity=fidelity)

    [line] = warnings(Model(adapter="v1", bits=3), result(0.47, 0.75))
    assert line.startswith("gain retained 75.0%, agreement 47.0%: too little of v1 remains")
    [line] = warnings(Model(adapter="v1", bits=8), result(0.99))
    assert line.startswith("v1 is no better than its base")


CHAIN = """
[dataset.d]
source = { type = "sample" }
[model.b4]
base = "nano"
bits = 4
[adapter.a]
base = "b4"
data = "d"
[model.a6]
adapter = "a"
bits = 6
[eval.e]
arm = "a"
suite = "tool-calling"
"""


def test_an_adapter_may_start_from_a_model(recipes):
    root = recipes(CHAIN)
    graph = {task.label: task for task in Project.load(root).tasks}
    tokens = "tokens:d@b4-assistant-2048"
    preflight, answers = "preflight:d@b4", "answers:a@tool-calling"
    assert list(graph) == ["dataset:d", "model:b4", tokens, preflight, "adapter:a", "model:a6", answers, "eval:e"]
    assert tuple(graph["adapter:a"].needs) == (tokens, preflight, "model:b4")
    assert graph["model:a6"].inputs == ("adapters/a", "data/d@b4-assistant-2048", "models/b4")
    assert graph[answers].inputs == ("adapters/a", "models/b4")
    (root / "models" / "b4").mkdir(parents=True)
    inputs = []
    for text in ("one", "other"):
        (root / "models" / "b4" / "model.safetensors").write_text(text)
        inputs.append(state.key_inputs(root, graph["adapter:a"]).inputs)
    assert set(inputs[0]) == {"data/d@b4-assistant-2048", "models/b4"}
    assert inputs[0]["models/b4"] != inputs[1]["models/b4"]


def test_a_model_of_itself_is_a_cycle(recipes):
    with pytest.raises(RecipeError, match=r"built from itself: .* - break the cycle"):
        Project.load(recipes(CHAIN.replace('base = "nano"\n', 'adapter = "a"\n')))
