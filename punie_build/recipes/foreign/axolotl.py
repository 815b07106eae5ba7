"""The YAML of axolotl, as far as it describes LoRA on chat data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from punie_build.recipes.foreign.config import (
    ForeignConfig,
    lora_table,
    optimizer,
    schedule,
    take_common,
    target_modules,
)

READ = frozenset(
    "base_model adapter peft_use_dora lora_r lora_alpha lora_dropout lora_target_modules"
    " lora_target_linear sequence_len sample_packing micro_batch_size gradient_accumulation_steps"
    " num_epochs max_steps learning_rate optimizer weight_decay lr_scheduler warmup_steps warmup_ratio"
    " train_on_inputs datasets val_set_size gradient_checkpointing seed max_grad_norm neftune_noise_alpha logging_steps"
    " eval_steps save_steps wandb_project load_in_4bit load_in_8bit".split()
)
OTHERS = {
    **dict.fromkeys(("output_dir", "dataset_prepared_path", "hub_model_id"), "targets have their place in the project"),
    **dict.fromkeys(("bf16", "fp16", "tf32", "strict", "pad_to_sequence_len", "group_by_length"), ""),
    **dict.fromkeys(("flash_attention", "xformers_attention", "sdp_attention"), ""),
    **dict.fromkeys(
        ("tokenizer_type", "model_type", "wandb_entity", "wandb_watch", "wandb_name", "wandb_log_model"), ""
    ),
    **dict.fromkeys(("deepspeed", "fsdp", "fsdp_config"), "left out: `ranks` and `hosts` share a batch over processes"),
    "chat_template": "left out: the template of the base is used",
    "special_tokens": "left out: those of the base's tokenizer are used",
    "rl": "left out: the losses of preferences are dpo and orpo",
    "trust_remote_code": "code of a model is never run",
    "evals_per_epoch": "left out: set steps_per_eval, in batches",
    "saves_per_epoch": "left out: save_every has no effect on the result",
    "early_stopping_patience": "left out: set early_stop",
}


def read(values: Mapping[str, Any]) -> ForeignConfig:
    """Return the recipe of a configuration of axolotl."""
    values = {key: value for key, value in values.items() if value is not None}
    config = ForeignConfig(model=str(values.get("base_model", "")), adapter={}, notes=[])
    accumulated = int(values.get("gradient_accumulation_steps", 1))
    config.adapter = {
        "mask": "all" if values.get("train_on_inputs") else "assistant",
        "batch_size": int(values.get("micro_batch_size", 1)),
        "grad_accumulation_steps": accumulated,
        "learning_rate": float(values.get("learning_rate", 2e-4)),
        "max_seq_length": int(values.get("sequence_len", 2048)),
        "optimizer": optimizer(config, "optimizer", str(values.get("optimizer", "adamw")), values.get("weight_decay")),
        "lr_schedule": schedule(config, "lr_scheduler", str(values.get("lr_scheduler", "cosine"))),
    }
    _length(config, values, accumulated)
    _lora(config, values)
    _data(config, values)
    if values.get("rl") in ("dpo", "orpo"):
        config.form = "preference"
        config.adapter["loss"] = values["rl"]
        if beta := values.get("rl_beta", values.get("dpo_beta")):
            config.adapter["beta"] = float(beta)
    take_common(config, values, accumulated)
    if values.get("gradient_checkpointing"):
        config.adapter["grad_checkpoint"] = True
    if values.get("sample_packing"):
        config.adapter |= {"batching": "pack", "batch_tokens": config.adapter["max_seq_length"]}
    if values.get("wandb_project"):
        config.adapter |= {"report_to": ["wandb"], "project_name": values["wandb_project"]}
    taken = READ.union(["rl", "rl_beta", "dpo_beta"] if config.form else [])
    config.note_others((key for key in values if key not in taken), OTHERS)
    return config


def _length(config: ForeignConfig, values: Mapping[str, Any], accumulated: int) -> None:
    if values.get("max_steps"):
        config.adapter["iters"] = int(values["max_steps"]) * accumulated
        config.note("max_steps", f"iters counts batches: {values['max_steps']} updates of {accumulated}")
    else:
        config.adapter["epochs"] = float(values.get("num_epochs", 1))


def _lora(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    kind, is_dora = (values.get(key) for key in ("adapter", "peft_use_dora"))
    if kind not in ("lora", "qlora"):
        config.adapter["fine_tune_type"] = "full"
        return
    if is_dora:
        config.adapter["fine_tune_type"] = "dora"
    modules = None if values.get("lora_target_linear") else values.get("lora_target_modules")
    keys = target_modules(config, "lora_target_modules", modules)
    config.adapter["lora"] = lora_table(
        values.get("lora_r"), values.get("lora_alpha"), values.get("lora_dropout"), keys
    )
    if kind == "qlora" or values.get("load_in_4bit") or values.get("load_in_8bit"):
        config.note("load_in_4bit", "name a base that is quantized for mlx, such as mlx-community/...-4bit")


def _data(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    datasets = [item for item in values.get("datasets") or () if isinstance(item, Mapping)]
    if datasets:
        config.data = str(datasets[0].get("path", ""))
    for item in datasets[1:]:
        config.note(
            "datasets", f"{item.get('path')}: left out: give it a [dataset.NAME], and join both by a [mix.NAME]"
        )
    for item in datasets[:1]:
        if extra := [key for key in item if key not in ("path", "type", "split", "ds_type", "name")]:
            config.note("datasets", f"{', '.join(extra)} left out: `columns` of the dataset names keys of the records")
    size = values.get("val_set_size")
    if isinstance(size, float) and 0 < size < 1:
        config.split = {"valid": size, "test": 0.0}
    elif size == 0 or size is None:
        config.adapter |= {"valid": "none", "keep": "last"}
        config.split = {"valid": 0.0, "test": 0.0}
    else:
        config.note("val_set_size", "a number of rows: left out, 10 % are validation rows")
