"""A Python script with unsloth or TRL: `FastLanguageModel`, `SFTConfig` or `TrainingArguments`. It is parsed, not run.
A YAML file of TRL (`trl sft --config`) has the same settings.

Arguments that are no literals, and no names of literals, are left out and noted.
"""

from __future__ import annotations

import ast
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

CALLS = ("from_pretrained", "get_peft_model", "LoraConfig", "SFTConfig", "TrainingArguments", "load_dataset")
READ = frozenset(
    "model_name max_seq_length max_length r lora_alpha lora_dropout target_modules use_dora"
    " use_gradient_checkpointing random_state per_device_train_batch_size gradient_accumulation_steps"
    " warmup_steps max_steps num_train_epochs learning_rate optim weight_decay lr_scheduler_type seed"
    " max_grad_norm neftune_noise_alpha logging_steps eval_steps save_steps load_in_4bit load_in_8bit packing"
    " report_to warmup_ratio assistant_only_loss completion_only_loss".split()
)
NAMES = {  # of the command line of TRL -> of its classes
    "model_name_or_path": "model_name",
    "dataset_name": "path",
    "lora_r": "r",
    "lora_target_modules": "target_modules",
    "gradient_checkpointing": "use_gradient_checkpointing",
}
OTHERS = {
    **dict.fromkeys(
        ("output_dir", "bf16", "fp16", "dtype", "bias", "token", "dataset_text_field", "dataset_num_proc"), ""
    ),
    **dict.fromkeys(("use_rslora", "loftq_config", "init_lora_weights"), "left out: plain LoRA is trained"),
    **dict.fromkeys(("path", "name", "split", "data_files"), ""),
    "per_device_eval_batch_size": "",
    "full_finetuning": "",
}


def read(script: str) -> ForeignConfig:
    """Return the recipe of a script. Raises SyntaxError if it is no Python."""
    tree = ast.parse(script)
    config = ForeignConfig(adapter={}, notes=[])
    values, calls = _arguments(tree, config)
    return _recipe(config, values, calls)


def read_settings(settings: Mapping[str, Any]) -> ForeignConfig:
    """Return the recipe of the settings of TRL in YAML."""
    values = {NAMES.get(key, key): value for key, value in settings.items() if value is not None}
    has_lora = values.pop("use_peft", "r" in values)
    return _recipe(ForeignConfig(adapter={}, notes=[]), values, {"SFTConfig"} | ({"LoraConfig"} if has_lora else set()))


def _recipe(config: ForeignConfig, values: Mapping[str, Any], calls: set[str]) -> ForeignConfig:
    if not calls & {"get_peft_model", "LoraConfig", "SFTConfig", "TrainingArguments"}:
        config.note("script", "no call of get_peft_model, LoraConfig, SFTConfig or TrainingArguments was found")
    accumulated = int(values.get("gradient_accumulation_steps", 1))
    only_answers = "train_on_responses_only" in calls or values.get("assistant_only_loss")
    config.model, config.data = str(values.get("model_name", "")), str(values.get("path", ""))
    length = values.get("max_seq_length", values.get("max_length", 2048))
    config.adapter = {
        "mask": "assistant" if only_answers else "last" if values.get("completion_only_loss") else "all",
        "batch_size": int(values.get("per_device_train_batch_size", 8)),
        "grad_accumulation_steps": accumulated,
        "learning_rate": float(values.get("learning_rate", 2e-4)),
        "max_seq_length": int(length),
        "max_grad_norm": 1.0,
        "optimizer": optimizer(config, "optim", str(values.get("optim", "adamw")), values.get("weight_decay", 0.0)),
        "lr_schedule": schedule(config, "lr_scheduler_type", str(values.get("lr_scheduler_type", "linear"))),
    }
    if int(values.get("max_steps", -1)) > 0:
        config.adapter["iters"] = int(values["max_steps"]) * accumulated
        config.note("max_steps", f"iters counts batches: {values['max_steps']} updates of {accumulated}")
    else:
        config.adapter["epochs"] = float(values.get("num_train_epochs", 3))
    _lora(config, values, calls)
    _optional(config, values, accumulated)
    config.note_others((key for key, value in values.items() if key not in READ and value), OTHERS)
    return config


def _optional(config: ForeignConfig, values: Mapping[str, Any], accumulated: int) -> None:
    take_common(config, values, accumulated)
    if values.get("use_gradient_checkpointing"):
        config.adapter["grad_checkpoint"] = True
    if values.get("packing"):
        config.adapter |= {"batching": "pack", "batch_tokens": config.adapter["max_seq_length"]}
    if values.get("load_in_4bit") or "bnb-4bit" in config.model:
        config.note("load_in_4bit", "name a base that is quantized for mlx, such as mlx-community/...-4bit")


def _lora(config: ForeignConfig, values: Mapping[str, Any], calls: set[str]) -> None:
    if not calls & {"get_peft_model", "LoraConfig"}:
        config.adapter["fine_tune_type"] = "full"
        return
    if values.get("use_dora"):
        config.adapter["fine_tune_type"] = "dora"
    keys = target_modules(config, "target_modules", values.get("target_modules"))
    config.adapter["lora"] = lora_table(
        values.get("r", 8), values.get("lora_alpha", 8), values.get("lora_dropout", 0), keys
    )


def _arguments(tree: ast.AST, config: ForeignConfig) -> tuple[dict[str, Any], set[str]]:
    """Return the literal arguments of the calls that matter, and the names of all calls."""
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = node.value
    values: dict[str, Any] = {}
    calls = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        calls.add(name)
        if name not in CALLS:
            continue
        arguments = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        if node.args and name in ("from_pretrained", "load_dataset"):
            arguments.setdefault("model_name" if name == "from_pretrained" else "path", node.args[0])
        for key, value in arguments.items():
            literal = names.get(value.id, value) if isinstance(value, ast.Name) else value
            try:
                values.setdefault(key, ast.literal_eval(literal))
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                if key in READ:
                    config.note(key, "left out: its value is computed by the script")
    return values, calls
