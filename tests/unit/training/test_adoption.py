"""Adapters of other programs: their formats, their fit to a base, and their way through a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model

from punie_build.cli.evaluate import find_model
from punie_build.engine import state
from punie_build.engine.build import build
from punie_build.errors import ModelError, RecipeError, UseError
from punie_build.models import tensor_file
from punie_build.project import Project
from punie_build.reports import hub_upload
from punie_build.storage import paths
from punie_build.training import adapter_fit, adoption
from punie_build.training.adapter_files import FILES
from punie_build.training.adapter_formats import AdapterFormatError, read_adapter
from tests.support.project import create, edit

NANO = paths.nano()
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
RECIPE = """
[adapter.theirs]
path = "carried"
base = "nano"
[model.fused]
adapter = "theirs"
[model.q8]
adapter = "theirs"
bits = 8
"""


def shapes(modules: tuple[str, ...] = MODULES) -> dict[str, tuple[int, int]]:
    """Return the (outputs, inputs) of these modules in all layers of nano."""
    model, _ = load_model(NANO, lazy=True)
    weights = dict(tree_flatten(model.parameters()))
    names = [f"model.layers.{layer}.{module}" for layer in range(len(model.layers)) for module in modules]
    return {name: tuple(weights[f"{name}.weight"].shape) for name in names}


def write_peft(folder: Path, rank: int = 4, dora: bool = False, dtype: mx.Dtype = mx.bfloat16, **config: Any) -> Path:
    """Write an adapter for nano as PEFT does, with these fields of its config."""
    folder.mkdir(parents=True, exist_ok=True)
    mx.random.seed(3)
    tensors = {}
    for name, (outputs, inputs) in shapes().items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = mx.random.normal((rank, inputs)) * 0.1
        tensors[f"base_model.model.{name}.lora_B.weight"] = mx.random.normal((outputs, rank)) * 0.1
        if dora:
            tensors[f"base_model.model.{name}.lora_magnitude_vector"] = mx.random.uniform(0.5, 1.5, (outputs,))
    tensors = {name: value.astype(dtype) for name, value in tensors.items()}
    mx.save_safetensors(str(folder / "adapter_model.safetensors"), tensors)
    fields = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"}
    fields |= {"task_type": "CAUSAL_LM", "use_dora": dora, "base_model_name_or_path": "/home/me/models/nano"}
    (folder / "adapter_config.json").write_text(json.dumps(fields | config))
    return folder


def write_mlx(folder: Path, source: Path | None = None, **config: Any) -> Path:
    """Write the adapter of PEFT in the format of mlx-lm, with these fields of its config."""
    source = source or write_peft(folder.parent / "peft")
    folder.mkdir(exist_ok=True)
    adoption.adopt("x", source, NANO, folder)
    (folder / "adoption.json").unlink()
    fields = json.loads((folder / "adapter_config.json").read_bytes())
    (folder / "adapter_config.json").write_text(json.dumps(fields | config))
    return folder


def logits(adapter: Path) -> np.ndarray:
    model, _ = load_model(NANO)
    load_adapters(model, str(adapter))
    return np.array(model(mx.array([[5, 6, 7, 8]])).astype(mx.float32))


@pytest.mark.parametrize(("rslora", "scale"), [(False, 2.0), (True, 4.0)])
def test_matrices_of_peft_are_transposed_without_a_changed_bit(tmp_path, rslora, scale):
    source = write_peft(tmp_path / "peft", use_rslora=rslora)
    out = tmp_path / "out"
    out.mkdir()
    fitted = adoption.adopt("x", source, NANO, out)
    theirs, ours = (tensor_file.load(folder / name) for folder, name in zip((source, out), FILES[:0:-1], strict=True))
    assert fitted.adapter.config.lora_parameters.scale == scale
    for name, original in fitted.adapter.sources.items():
        assert (theirs[original].bits == ours[name].bits.T).all()
        assert ours[name].dtype == theirs[original].dtype == "BF16"
    assert not list(adoption.verify(out, None, NANO))
    assert "/home" not in (out / "adoption.json").read_text()


@pytest.mark.parametrize("dora", [False, True])
def test_an_adopted_adapter_computes_what_its_matrices_say(tmp_path, dora):
    source, out = write_peft(tmp_path / "peft", dora=dora, dtype=mx.float32), tmp_path / "out"
    out.mkdir()
    adoption.adopt("x", source, NANO, out)
    model, _ = load_model(NANO)
    for name in shapes():
        parts = mx.load(str(source / "adapter_model.safetensors"))
        a, b = (parts[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
        module = model
        for part in name.split("."):
            module = module[int(part)] if part.isdigit() else module[part]
        weight = module.weight.astype(mx.float32) + 2.0 * (b @ a)
        if dora:
            magnitude = parts[f"base_model.model.{name}.lora_magnitude_vector"]
            weight = weight * (magnitude / mx.linalg.norm(weight, axis=1))[:, None]
        module.weight = weight
    expected = np.array(model(mx.array([[5, 6, 7, 8]])).astype(mx.float32))
    assert np.abs(logits(out) - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type IA3"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"task_type": "SEQ_CLS"}, "task_type"),
        ({"a_setting_of_tomorrow": True}, "a_setting_of_tomorrow"),
        ({"lora_alpha": None}, "lora_alpha"),
    ],
)
def test_a_setting_of_peft_that_mlx_cannot_compute_is_refused_by_name(tmp_path, config, words):
    with pytest.raises(AdapterFormatError, match=words):
        read_adapter(write_peft(tmp_path / "peft", **config))


def edited(folder: Path, change: Any) -> Path:
    """Change the tensors of an adapter of mlx-lm."""
    path = folder / "adapters.safetensors"
    tensors = change(dict(mx.load(str(path))))
    mx.eval(*tensors.values())
    path.unlink()
    mx.save_safetensors(str(path), tensors)
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {n.replace("q_proj", "query"): v for n, v in t.items()}, "no such module"),
        (lambda t: {n.replace("model.layers", "h"): v for n, v in t.items()}, "no layers there"),
        (lambda t: {n.replace("layers.0", "layers.90"): v for n, v in t.items()}, "layers"),
        (lambda t: {n: v for n, v in t.items() if not n.endswith("q_proj.lora_b")}, "it has lora_a"),
        (lambda t: {n: v[:-1] if n.endswith("lora_a") else v for n, v in t.items()}, "outputs and"),
        (lambda t: {n: mx.full(v.shape, float("nan"), v.dtype) for n, v in t.items()}, "no numbers"),
    ],
)
def test_a_mismatch_with_the_base_is_a_sentence_that_names_the_module(tmp_path, change, words):
    folder, out = edited(write_mlx(tmp_path / "mlx"), change), tmp_path / "out"
    out.mkdir()
    with pytest.raises(ModelError, match=words) as raised:
        adoption.adopt("carried", folder, NANO, out)
    assert len(str(raised.value).splitlines()) <= len(MODULES)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"num_layers": 1}, "num_layers 1 loads"),
        ({"num_layers": 99}, "the base has"),
        ({"lora_parameters": {"rank": 4, "scale": 2.0, "keys": ["self_attn.q_proj"]}}, "does not name it"),
        ({"lora_parameters": {"rank": 8, "scale": 2.0}}, "rank 8"),
        ({"base": {"bits": 16, "tokenizer": "0"}}, "another tokenizer"),
    ],
)
def test_a_config_that_would_not_load_its_matrices_is_a_mismatch(tmp_path, config, words):
    assert any(words in problem for problem in adapter_fit.fit(write_mlx(tmp_path / "mlx", **config), NANO).problems)


def test_an_old_config_of_mlx_is_read(tmp_path):
    folder = write_mlx(tmp_path / "mlx")
    fields = json.loads((folder / "adapter_config.json").read_bytes())
    fields["lora_layers"] = fields.pop("num_layers")
    del fields["fine_tune_type"], fields["lora_parameters"]["dropout"]
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    assert not adapter_fit.fit(folder, NANO).problems


@pytest.mark.slow
def test_a_folder_is_adopted_fused_quantized_and_published(tmp_path):
    project = create(tmp_path / "p", RECIPE)
    write_peft(project / "carried")
    build(project, Project.load(project).task("adapter:theirs"))
    for label in ("model:fused", "model:q8"):
        build(project, Project.load(project).task(label))
    loaded = Project.load(project)
    task = loaded.task("adapter:theirs")
    assert state.state(project, task) == "current"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/id_rsa").write_text("key")
    link = project / paths.upload_folder(task.target)
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "secrets")
    assert "id_rsa" not in hub_upload.files(hub_upload.prepare(loaded, task)), "a link in the way is removed as a link"
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["id_rsa"]
    card = (hub_upload.prepare(loaded, task) / "README.md").read_text()
    assert "adopted, not trained here" in card
    assert "lora_alpha" in card
    served = find_model(project, "theirs")
    assert served.adapter == project / "adapters/theirs"
    write_peft(project / "carried", lora_alpha=16)
    assert state.state(project, Project.load(project).task("adapter:theirs")) == "stale"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('path = "carried"', 'path = "carried"\niters = 9\nbatch_size = 4', "iters: does not go with `path`"),
        ('path = "carried"', 'path = "adapters/theirs"', "a build writes it"),
        ('path = "carried"', 'path = "models/q8"', "is the target of model.q8"),
        ('path = "carried"', 'path = "../x"', "leaves the project"),
        ('base = "nano"', "", "base: missing"),
    ],
)
def test_a_mistake_in_the_table_of_an_adopted_adapter_is_named(tmp_path, old, new, words):
    project = create(tmp_path / "p", RECIPE)
    edit(project, old, new)
    with pytest.raises(RecipeError, match=words):
        Project.load(project)


def test_a_missing_folder_is_a_sentence(tmp_path):
    project = create(tmp_path / "p", RECIPE)
    with pytest.raises(ModelError, match="carried: no adapter there"):
        build(project, Project.load(project).task("adapter:theirs"))


@pytest.mark.parametrize("write", [write_peft, write_mlx])
def test_the_folder_of_an_adapter_is_served_on_the_base_of_its_config(tmp_path, write):
    folder = write(tmp_path / "carried")
    if write is write_peft:
        with pytest.raises(UseError, match="--model"):
            find_model(tmp_path, "carried")
    fields = json.loads((folder / "adapter_config.json").read_bytes())
    name = "base_model_name_or_path" if write is write_peft else "model"
    (folder / "adapter_config.json").write_text(json.dumps(fields | {name: "nano"}))
    served = find_model(tmp_path, "carried")
    assert served.model == NANO
    assert np.isfinite(logits(served.adapter)).all()
    assert find_model(tmp_path, None, "carried").model == NANO


def test_the_folder_that_train_wrote_is_served_by_the_signature_of_its_base(tmp_path):
    write_mlx(tmp_path / "out")
    assert find_model(tmp_path, "out").model == NANO
