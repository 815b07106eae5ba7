"""Configurations of mlx-lm, axolotl and scripts of unsloth become recipes; what is left out is named."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from punie_build.errors import UseError
from punie_build.recipes.foreign import mlx_lm, registry
from punie_build.schema.validation import mistakes
from punie_build.training.spec import Adapter
from tests.support.command import punie_build

MLX_LM = """
model: nano
train: true
data: rows
optimizer: adamw
optimizer_config: {adamw: {betas: [0.9, 0.98]}}
learning_rate: 1e-5
iters: 600
lora_parameters: {keys: ["self_attn.q_proj"], rank: 4, scale: 10.0, dropout: 0.1}
lr_schedule: {name: cosine_decay, warmup: 100, warmup_init: 1e-7, arguments: [2e-5, 1000, 1e-7]}
adapter_path: out
unheard_of: 3
"""
AXOLOTL = """
base_model: NousResearch/Meta-Llama-3-8B
adapter: qlora
lora_r: 32
lora_alpha: 16
lora_target_modules: [q_proj, down_proj, router]
sequence_len: 4096
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 3
optimizer: paged_adamw_8bit
lr_scheduler: cosine
learning_rate: 2e-4
val_set_size: 0.05
neftune_noise_alpha: 5
eval_steps: 10
datasets:
  - {path: tatsu-lab/alpaca, type: alpaca}
  - {path: more.jsonl, type: chat_template}
"""
SCRIPT = """
from unsloth import FastLanguageModel
from trl import SFTTrainer, SFTConfig
length = 1024
model, tokenizer = FastLanguageModel.from_pretrained("unsloth/Llama-3.2-1B", max_seq_length=length, load_in_4bit=True)
model = FastLanguageModel.get_peft_model(model, r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"])
trainer = SFTTrainer(model=model, train_dataset=load_dataset("org/rows", split="train"), args=SFTConfig(
    per_device_train_batch_size=2, gradient_accumulation_steps=4, max_steps=60, learning_rate=compute_rate(),
    optim="adamw_8bit", lr_scheduler_type="linear", seed=3407, eval_steps=10))
trainer = train_on_responses_only(trainer)
open("written", "w")
"""


def read(tmp_path: Path, name: str, text: str) -> tuple[dict, str]:
    """The adapter of a configuration, valid as a recipe, and the notes."""
    (tmp_path / name).write_text(text)
    form, config = registry.read(tmp_path / name)
    tables = tomllib.loads(registry.recipe_text("x", config, form))
    assert list(mistakes(tables["adapter"]["x"], Adapter, "adapter.x")) == []
    return tables, "\n".join(config.notes)


def test_mlx_lm(tmp_path):
    tables, notes = read(tmp_path, "lora.yaml", MLX_LM)
    adapter = msgspec.convert(tables["adapter"]["x"], Adapter)
    assert tables["dataset"]["x"] == {"source": {"type": "local", "path": "rows"}}
    assert (adapter.base, adapter.iters, adapter.num_layers, adapter.mask, adapter.keep) == (
        "nano",
        600,
        16,
        "all",
        "last",
    )
    assert (adapter.learning_rate, adapter.warmup, adapter.lr_schedule.steps) == (2e-5, 100, 1000)
    assert (adapter.optimizer.betas, adapter.optimizer.bias_correction) == ((0.9, 0.98), False)
    assert (adapter.lora.rank, adapter.lora.scale, adapter.lora.dropout) == (4, 10.0, 0.1)
    assert "unheard_of: not understood" in notes
    assert "adapter_path" in notes
    assert "train:" not in notes


def test_settings_that_a_file_leaves_out_have_the_defaults_of_the_installed_mlx_lm():
    lora = pytest.importorskip("mlx_lm.lora")
    assert {key: lora.CONFIG_DEFAULTS[key] for key in mlx_lm.DEFAULTS} == mlx_lm.DEFAULTS


def test_axolotl(tmp_path):
    tables, notes = read(tmp_path, "config.yml", AXOLOTL)
    adapter = tables["adapter"]["x"]
    assert tables["base"] == {"x-base": {"hub": "NousResearch/Meta-Llama-3-8B"}}
    assert tables["dataset"]["x"] == {
        "source": {"type": "hub", "repo": "tatsu-lab/alpaca"},
        "split": {"valid": 0.05, "test": 0.0},
    }
    assert adapter["lora"] == {"rank": 32, "scale": 0.5, "keys": ["self_attn.q_proj", "mlp.down_proj"]}
    assert (adapter["epochs"], adapter["batching"], adapter["batch_tokens"]) == (3.0, "pack", 4096)
    assert (adapter["neftune_noise_alpha"], adapter["steps_per_eval"]) == (5, 40)
    assert (adapter["mask"], adapter["optimizer"]) == ("assistant", {"type": "adamw"})
    for word in ("router", "paged_adamw_8bit", "more.jsonl", "load_in_4bit"):
        assert word in notes


def test_a_script_of_unsloth_is_parsed_and_not_run(tmp_path):
    tables, notes = read(tmp_path, "train.py", SCRIPT)
    adapter = tables["adapter"]["x"]
    assert (adapter["iters"], adapter["max_seq_length"], adapter["mask"], adapter["seed"]) == (
        240,
        1024,
        "assistant",
        3407,
    )
    assert adapter["lora"] == {"rank": 16, "scale": 2.0, "keys": ["self_attn.q_proj", "self_attn.v_proj"]}
    assert adapter["steps_per_eval"] == 40
    assert tables["dataset"]["x"]["source"]["repo"] == "org/rows"
    assert "learning_rate: left out: its value is computed by the script" in notes
    assert not Path("written").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "- 1\n- 2"),
        ("a.yaml", "model: [unclosed"),
        ("a.yaml", "wheels: 4"),
        ("a.yaml", "model: !!python/object/apply:os.system ['true']"),
        ("a.yaml", "base_model: x\nlearning_rate: fast"),
        ("a.yaml", "&a [*a]"),
        ("a.py", "def broken(:"),
        ("absent.yaml", None),
    ],
)
def test_files_that_are_no_configuration_are_a_sentence(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UseError, match=name):
        registry.read(tmp_path / name)


def test_the_command_writes_a_recipe_once_and_init_starts_from_one(tmp_path):
    (tmp_path / "Lora 1.yaml").write_text(MLX_LM)
    (tmp_path / "rows").mkdir()
    process = punie_build(tmp_path, "import", "Lora 1.yaml")
    assert (process.returncode, "note: unheard_of" in process.stdout) == (0, True)
    assert punie_build(tmp_path, "plan", "adapter:lora-1").returncode in (1, 2)
    assert punie_build(tmp_path, "import", "Lora 1.yaml").returncode == 2
    (tmp_path / "new").mkdir()
    assert punie_build(tmp_path, "init", "new", "--from", "Lora 1.yaml").returncode == 0
    assert sorted(path.name for path in (tmp_path / "new" / "recipes").iterdir()) == ["lora-1.toml"]
    assert (tmp_path / "new" / "AGENTS.md").exists()


def test_init_writes_nothing_where_the_file_is_no_configuration(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    process = punie_build(tmp_path, "init", "new", "--from", "a.yaml")
    assert (process.returncode, process.stderr.rpartition(": ")[2]) == (2, "not UTF-8 - save the file as UTF-8\n")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("loss", "is_read"), [("dpo", True), ("orpo", True), ("kto", False)])
def test_a_preference_training_of_axolotl_keeps_its_loss(tmp_path, loss, is_read):
    (tmp_path / "a.yaml").write_text(f"base_model: nano\nadapter: lora\nrl: {loss}\ndatasets: [{{path: rows.jsonl}}]\n")
    _, config = registry.read(tmp_path / "a.yaml")
    tables = config.tables("x")
    assert (tables.adapter["x"].get("loss"), tables.dataset["x"].get("form")) == (
        (loss, "preference") if is_read else (None, None)
    )
    assert any(note.startswith("rl: left out") for note in config.notes) is not is_read


def test_data_of_the_hub_that_mlx_lm_names_are_a_source_with_columns(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "model: nano\niters: 3\nresume_adapter_file: null\ntest: false\n"
        "hf_dataset: {path: org/rows, prompt_feature: text, completion_feature: summary, train_split: 'train[:9]'}\n"
    )
    _, config = registry.read(tmp_path / "a.yaml")
    assert config.tables("x").dataset["x"] == {
        "source": {"type": "hub", "repo": "org/rows"},
        "columns": {"text": "user", "summary": "assistant"},
    }
    assert [note.partition(":")[0] for note in config.notes] == ["optimizer", "hf_dataset", "keep"]
    (tmp_path / "a.yaml").write_text("model: nano\niters: 3\nhf_dataset: [{path: billsum}, {path: org/more}]\n")
    _, config = registry.read(tmp_path / "a.yaml")
    assert "hf_dataset: billsum: left out: name it with its organization, as OWNER/NAME" in config.notes
    assert any("org/more: left out" in note for note in config.notes)


def test_the_yaml_of_trl_is_read_as_a_script_is(tmp_path):
    (tmp_path / "sft.yaml").write_text(
        "model_name_or_path: org/model\ndataset_name: org/rows\nuse_peft: true\nlora_r: 4\nlora_alpha: 8\n"
        "per_device_train_batch_size: 2\ngradient_accumulation_steps: 3\nmax_steps: 5\nlearning_rate: 2e-4\n"
    )
    form, config = registry.read(tmp_path / "sft.yaml")
    adapter = config.tables("x").adapter["x"]
    assert (form, config.model, config.data) == ("unsloth", "org/model", "org/rows")
    assert (adapter["batch_size"], adapter["iters"], adapter["lora"]) == (2, 15, {"rank": 4, "scale": 2.0})
    assert list(mistakes(adapter, Adapter, "adapter.x")) == []
