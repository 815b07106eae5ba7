"""Models of a really trained adapter: fused, quantised, read back, measured, served."""

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
from punie_build.artifacts.graph import tasks
from punie_build.artifacts.steps import steps

from punie_build.engine import state
from punie_build.engine.build import build
from punie_build.errors import ModelError, RecipeError
from punie_build.export import model_folder
from punie_build.export.process import make
from punie_build.export.spec import Model
from punie_build.export.steps import room, warnings
from punie_build.models.precision import set_compute_precision
from punie_build.recipes.loader import load
from punie_build.storage import digests, locks, paths
from punie_build.training.loop.lora import adapt, parameters
from punie_build.training.spec import Adapter, Lora
from tests.support.doit_runner import doit
from tests.support.project import SAMPLE, create

NANO = paths.nano()
RECIPE = (
    SAMPLE
    + """
[adapter.tiny]
base = "nano"
data = "sample"
iters = 8
batch_size = 2
learning_rate = 2e-3
max_seq_length = 512
lora = { rank = 4, scale = 5.0 }
[model.whole]
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
)
SUITE = '[[case]]\nid = "a"\ncategory = "c"\nprompt = "Hello"\nchecks = [{ type = "no-call" }]\n'


@pytest.fixture(scope="module")
def built(tmp_path_factory, shared_store) -> tuple[Path, str]:
    """The built project, and the output of its build."""
    root = create(tmp_path_factory.mktemp("project"), RECIPE, {"one.toml": SUITE})
    return root, doit(root, PUNIE_BUILD_STORE=shared_store)


@pytest.fixture(scope="module")
def adapter(built) -> Path:
    return built[0] / "adapters" / "tiny"


def lock(root: Path, place: str) -> locks.Lock:
    found = locks.read(root / f"{place}.lock.json")
    assert found
    return found


def quantisation(folder: Path) -> dict:
    return model_folder.config(folder).get("quantization", {})


def test_a_fused_model_says_what_its_adapter_says(built):
    root, said = built
    measured = lock(root, "models/whole").metrics
    assert measured["agreement"] == 1.0
    assert measured["gain_retained"] == pytest.approx(1.0, abs=1e-3)
    assert measured["loss"] < measured["loss_base"]
    assert "agreement 100.0%" in said
    assert "quantization" not in model_folder.config(root / "models" / "whole")


def test_few_bits_cost_what_was_learnt_and_the_lock_says_how_much(built):
    metrics = lock(built[0], "models/q2").metrics
    assert metrics["agreement"] < 1.0
    assert metrics["loss"] > metrics["loss_adapter"]
    assert metrics["bits_per_weight"] < 3.1
    assert metrics["unquantised"] == 0


def test_a_model_answers_a_suite(built):
    root, said = built
    assert "1 cases passed" in said
    assert set(lock(root, "answers/q2@one@max_tokens-4").facts.inputs) == {"models/q2"}


def test_the_same_recipe_gives_the_same_bytes_wherever_the_base_lies(built, adapter, tmp_path):
    shutil.copytree(NANO, tmp_path / "elsewhere")
    make(Model(adapter="tiny", bits=2), NANO, adapter, tmp_path / "out")
    make(Model(adapter="renamed", bits=2), tmp_path / "elsewhere", adapter, tmp_path / "again")
    assert digests.of_folder(tmp_path / "out") == digests.of_folder(tmp_path / "again")
    root, recipe = built[0], load(built[0])
    [task] = [task for task in tasks(recipe) if task.label == "model:q2"]
    before = lock(root, "models/q2").outputs
    assert build(root, task, steps(recipe)["model"], again=True).how == "ran"
    assert lock(root, "models/q2").outputs == before
    assert set(before) == {*model_folder.kept(NANO), "config.json", "model.safetensors", model_folder.INDEX}


@pytest.mark.parametrize(
    ("more", "bits", "group", "mode"),
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
def test_a_model_has_what_its_recipe_asks_for(adapter, tmp_path, more, bits, group, mode):
    spec = Model(adapter="tiny", **more)
    make(spec, NANO, adapter, tmp_path)
    assert list(model_folder.model(tmp_path, spec, NANO)) == []
    told = quantisation(tmp_path)
    assert (told.get("bits"), told.get("group_size"), told.get("mode")) == (bits, group, mode)
    assert model_folder.size(NANO, spec) == pytest.approx((tmp_path / "model.safetensors").stat().st_size, rel=0.05)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".md", ".py")]
    load_model(tmp_path)


def varied(base: Path, kind: str, folder: Path) -> Path:
    """An adapter of this kind with weights that change something."""
    spec = Adapter(base="nano", data="d", fine_tune_type=kind, num_layers=1, lora=Lora(rank=2, scale=2.0))
    model, _ = load_model(base)
    adapt(model, spec)
    moved = tree_map(lambda value: value + 0.02 * mx.random.normal(value.shape), model.trainable_parameters())
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), dict(tree_flatten(moved)))
    config = {"fine_tune_type": kind, "num_layers": 1, "lora_parameters": parameters(spec)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def logits(folder: Path, adapter: Path | None = None) -> np.ndarray:
    model, _ = load_model(folder)
    if adapter:
        load_adapters(model, str(adapter))
        model.eval()
    return np.array(model(mx.array([[5, 9, 40, 7, 11, 300]])).astype(mx.float32))


@pytest.mark.parametrize("kind", ["dora", "full"])
def test_every_way_to_train_can_be_fused(tmp_path, kind):
    adapter = varied(NANO, kind, tmp_path / "adapter")
    make(Model(adapter="a"), NANO, adapter, tmp_path / "out")
    assert not np.allclose(logits(NANO), logits(NANO, adapter), atol=1e-2)
    assert np.allclose(logits(tmp_path / "out"), logits(NANO, adapter), atol=1e-3)


def small(folder: Path, hidden: int = 64, inner: int = 96, bits: int | None = None) -> Path:
    """A llama of one layer, whose down_proj is `inner` wide, with nano's tokenizer."""
    config = {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": 1,
        "intermediate_size": inner,
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
    for name in model_folder.kept(NANO):
        shutil.copy(NANO / name, folder / name)
    return folder


def test_layers_that_no_group_fits_are_named(tmp_path):
    base, spec = small(tmp_path / "base"), Model(base="b", bits=4)
    left = ["model.layers.0.mlp.down_proj"]
    assert make(spec, base, None, tmp_path / "out")["unquantised"] == left
    assert quantisation(tmp_path / "out")[left[0]] is False
    assert list(model_folder.model(tmp_path / "out", spec, base)) == []
    load_model(tmp_path / "out")
    assert "down_proj" in warnings(spec, {"unquantised": left})[0]
    fits = Model(base="b", bits=4, group_size=32)
    assert make(fits, base, None, tmp_path / "fits")["unquantised"] == []


def test_a_base_of_which_nothing_can_be_quantised_is_said(tmp_path):
    base = small(tmp_path / "base", hidden=80, inner=80)
    with pytest.raises(
        SystemExit, match="no layer can be quantised - their inputs are 80 wide; no group_size fits all"
    ):
        make(Model(base="b", bits=4), base, None, tmp_path / "out")
    base = small(tmp_path / "other", hidden=96)
    with pytest.raises(SystemExit, match="set group_size = 32"):
        make(Model(base="b", bits=4), base, None, tmp_path / "out")


def test_a_quantised_base_stays_so_or_is_brought_back(tmp_path):
    base = small(tmp_path / "base", bits=4)
    adapter = varied(base, "lora", tmp_path / "adapter")
    kept, whole, eight = Model(adapter="a"), Model(adapter="a", bits=16), Model(adapter="a", bits=8, group_size=32)
    for name, spec in (("kept", kept), ("whole", whole), ("eight", eight)):
        make(spec, base, adapter, tmp_path / name)
        assert list(model_folder.model(tmp_path / name, spec, base)) == []
    assert quantisation(tmp_path / "kept")["bits"] == 4
    live = logits(base, adapter)
    assert np.allclose(logits(tmp_path / "whole"), live, atol=1e-3)
    assert np.abs(logits(tmp_path / "eight") - live).max() < np.abs(logits(tmp_path / "kept") - live).max()


@pytest.mark.skipif(mx.default_device() != mx.Device(mx.cpu), reason="on a GPU weights are set_compute_precision as they are")
def test_on_a_cpu_quantised_weights_are_computed_as_the_same_in_float32(tmp_path):
    base = small(tmp_path / "base", bits=4)
    model, _ = load_model(base)
    set_compute_precision(model, expand=False)
    assert "model.layers.0.mlp.up_proj.scales" in dict(tree_flatten(model.parameters()))
    set_compute_precision(model)
    assert {value.dtype for _, value in tree_flatten(model.parameters())} == {mx.float32}
    said = model(mx.array([[5, 9, 40, 7, 11, 300]]))
    assert np.allclose(np.array(said), logits(base), atol=1e-4)


def test_gguf_is_written_beside_the_model(tmp_path):
    base, spec = small(tmp_path / "base"), Model(base="b", gguf=True)
    for name in ("out", "again"):
        make(spec, base, None, tmp_path / name)
    assert list(model_folder.model(tmp_path / "out", spec, base)) == []
    assert digests.of_folder(tmp_path / "out") == digests.of_folder(tmp_path / "again")
    assert b"/somewhere" not in (tmp_path / "out" / "model.gguf").read_bytes()
    found = mx.load(str(tmp_path / "out" / "model.gguf"))
    assert found["blk.0.ffn_down.weight"].shape == (64, 96)
    (tmp_path / "out" / "model.gguf").write_bytes(b"GGUF" + bytes(12))
    assert list(model_folder.model(tmp_path / "out", spec, base)) == ["model.gguf: 0 tensors, the model has 12"]
    (tmp_path / "out" / "model.gguf").write_bytes(b"no")
    assert list(model_folder.model(tmp_path / "out", spec, base)) == ["model.gguf: not a GGUF file"]
    (tmp_path / "out" / "model.gguf").unlink()
    assert list(model_folder.model(tmp_path / "out", spec, base)) == ["model.gguf: No such file or directory"]


def rewrite(name: str, **changes: object):
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def quantised(**changes: object):
    def spoil(folder: Path) -> None:
        rewrite("config.json", quantization=quantisation(folder) | changes)(folder)

    return spoil


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def longer(folder: Path) -> None:
    """A tensor whose bytes are not those of its shape, in a file that is whole."""
    path = folder / "model.safetensors"
    text = path.read_bytes()
    size = int.from_bytes(text[:8], "little")
    path.write_bytes(text[:8] + text[8 : 8 + size].replace(b'"shape":[256]', b'"shape":[255]', 1) + text[8 + size :])


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (quantised(bits=4), "bits: recipe 2, config.json 4"),
        (quantised(bits=4), " and 24 more: config.json says 4 bits"),
        (quantised(group_size=32), "group_size: recipe 64, config.json 32"),
        (quantised(mode="mxfp4"), "mode: recipe affine, config.json mxfp4"),
        (quantised(mode="mxfp4"), " and 24 more: config.json says mxfp4, its tensors are of another mode"),
        (rewrite("config.json", quantization=None), "bits: recipe 2, config.json none"),
        (rewrite("generation_config.json", eos_token_id=7), "eos_token_id: base [0, 2], model [7]"),
        (rewrite("generation_config.json", eos_token_id=7), "generation_config.json: not the file of the base"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{{ x }}"), "chat_template.jinja: not the file"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json: the base has it, the model does not"),
        (cut, "model.safetensors: not a whole safetensors file"),
        (longer, "model.layers.0.input_layernorm.weight: its bytes are not those of its shape"),
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
def test_a_folder_that_is_not_what_the_recipe_says_is_told(built, tmp_path, spoil, line):
    folder, spec = tmp_path / "q2", Model(adapter="tiny", bits=2)
    shutil.copytree(built[0] / "models" / "q2", folder)
    assert list(model_folder.model(folder, spec, NANO)) == []
    spoil(folder)
    lines = list(model_folder.model(folder, spec, NANO))
    assert any(line in each for each in lines), lines


def test_a_model_of_other_bits_or_none_is_not_what_was_asked_for(built):
    whole, three = built[0] / "models" / "whole", built[0] / "models" / "q2"
    assert "bits: recipe 8, no layer is quantised" in list(model_folder.model(whole, Model(adapter="a", bits=8)))
    [line] = model_folder.model(three, Model(adapter="a", bits=16))
    assert line.startswith("bits: recipe 16, 29 layers are quantised")
    assert next(model_folder.model(three, Model(adapter="a"), NANO)).startswith("quantization: base none, model {")
    assert list(model_folder.model(whole, Model(adapter="a", dtype="float16"))) == ["dtype: recipe float16, file F32"]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("bits = 4", ": a model is made from an 'adapter', or from a 'base' alone - give one of them"),
        ('base = "nano"', ": a base as it is - give 'bits', 'dtype' or 'gguf', or use the base itself"),
        ('base = "nano"\nbits = 7', ": bits 7: mode affine has 2, 3, 4, 5, 6, 8 or 16 - choose one"),
        ('base = "nano"\nbits = 4\nmode = "mxfp8"', ": bits 4: mode mxfp8 has 8 or 16 - choose one"),
        ('base = "nano"\nbits = 4\ngroup_size = 16', ": group_size 16: mode affine has 32, 64, 128 - choose one"),
        ('base = "nano"\nbits = 16\ngroup_size = 64', ": group_size and mode are of a quantised model - give 'bits'"),
        ('base = "nano"\nbits = 4\ngguf = true', ": mlx-lm writes GGUF in full precision only - set bits = 16"),
        ('base = "nano"\ngguf = true', ".gguf: mlx-lm writes it for llama, mistral, mixtral, this base is qwen3"),
        ('base = "nano"\nbits = 1', ".bits: expected `int` >= 2"),
        ('base = "nano"\nbits = 4\nmode = "gptq"', ".mode: invalid enum value 'gptq'"),
        ('adapter = "nobody"', ".adapter: no adapter is called 'nobody'"),
        ('base = "mine"\nbits = 4', ": models/m is the folder of base.mine - choose another name"),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_runs(recipes, table, problem):
    root = recipes(f'[base.mine]\npath = "models/m"\n[model.m]\n{table}\n')
    with pytest.raises(RecipeError) as error:
        load(root)
    assert f"recipes/test.toml: model.m{problem.replace('`', chr(39))}" in str(error.value)


def test_a_full_disk_is_foreseen():
    room("model:m", 10, 10)
    with pytest.raises(ModelError, match=r"model:m: needs about 3.0 GiB of disk, .* 1.0 GiB are free - make room"):
        room("model:m", 3 * 2**30, 2**30)


def test_a_poor_likeness_is_told():
    poor = {"unquantised": [], "measured": {"gain_retained": 0.75, "agreement": 0.47, "tokens": 9.0}}
    [line] = warnings(Model(adapter="v1", bits=3), poor)
    assert line.startswith("gain retained 75.0%, agreement 47.0%: too little is left of v1")
    [line] = warnings(Model(adapter="v1", bits=8), {"unquantised": [], "measured": {"agreement": 0.99, "tokens": 9.0}})
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
    found = {task.label: task for task in tasks(load(root))}
    tokens = "tokens:d@b4-assistant-2048"
    looked, answers = "preflight:d@b4", "answers:a@tool-calling"
    assert list(found) == ["dataset:d", "model:b4", tokens, looked, "adapter:a", "model:a6", answers, "eval:e"]
    assert found["adapter:a"].needs == (tokens, looked, "model:b4")
    assert found["model:a6"].inputs == ("adapters/a", "data/d@b4-assistant-2048", "models/b4")
    assert found[answers].inputs == ("adapters/a", "models/b4")
    (root / "models" / "b4").mkdir(parents=True)
    told = []
    for text in ("one", "other"):
        (root / "models" / "b4" / "model.safetensors").write_text(text)
        told.append(state.facts(root, found["adapter:a"]).inputs)
    assert set(told[0]) == {"data/d@b4-assistant-2048", "models/b4"}
    assert told[0]["models/b4"] != told[1]["models/b4"]


def test_a_model_made_from_itself_is_a_circle(recipes):
    with pytest.raises(RecipeError, match=r"made from itself: .* - break the circle"):
        load(recipes(CHAIN.replace('base = "nano"\n', 'adapter = "a"\n')))
