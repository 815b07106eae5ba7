"""The YAML of `mlx_lm.lora -c FILE`. Settings that it leaves out have the defaults of mlx-lm, not ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from punie_build.recipes.foreign.config import ForeignConfig, is_hub_name

# as of mlx-lm 0.32: CONFIG_DEFAULTS of mlx_lm/lora.py
DEFAULTS: dict[str, Any] = {
    "model": "Qwen/Qwen3-0.6b",
    "data": "mlx-community/WikiSQL",
    "fine_tune_type": "lora",
    "optimizer": "adam",
    "seed": 0,
    "num_layers": 16,
    "batch_size": 4,
    "iters": 1000,
    "val_batches": 25,
    "learning_rate": 1e-5,
    "steps_per_report": 10,
    "steps_per_eval": 200,
    "save_every": 100,
    "max_seq_length": 2048,
    "grad_checkpoint": False,
    "grad_accumulation_steps": 1,
}
SAME = (
    *("fine_tune_type", "seed", "num_layers", "batch_size", "iters", "val_batches", "learning_rate"),
    *("steps_per_report", "steps_per_eval", "save_every", "max_seq_length", "grad_accumulation_steps"),
)
OTHERS = {
    "train": "",
    "config": "",
    "adapter_path": "the adapter is built in adapters/NAME",
    "test": "a test split is scored by an eval",
    "test_batches": "",
    "clear_cache_threshold": "no such setting here: memory is returned by itself",
    "trust_remote_code": "code of a model is never run",
    "resume_adapter_file": 'left out: adopt it by [adapter.NAME] path = "FOLDER", and train on with init = "NAME"',
    "wandb": 'set report_to = ["wandb"] and project_name',
}


def read(values: Mapping[str, Any]) -> ForeignConfig:
    """Return the recipe of a configuration of mlx-lm."""
    settings = {**DEFAULTS, **{key: value for key, value in values.items() if value is not None}}
    model, data, _ = (settings.get(key) for key in ("model", "data", "config"))
    config = ForeignConfig(model=str(model), data=str(data), adapter={}, notes=[])
    config.adapter = {key: settings[key] for key in SAME}
    if settings["grad_checkpoint"]:
        config.adapter["grad_checkpoint"] = True
    config.adapter["mask"] = "last" if settings.get("mask_prompt") else "all"
    if settings.get("mask_prompt"):
        config.note("mask_prompt", 'mask = "last": the last answer is trained; "assistant" trains every answer')
    lora = settings.get("lora_parameters") or {}
    config.adapter["lora"] = {"rank": 8, "scale": 20.0} | {
        key: value for key, value in lora.items() if key in ("rank", "scale", "dropout", "keys") and value is not None
    }
    if "alpha" in lora:
        config.note("lora_parameters.alpha", "left out: mlx-lm reads `scale`, which multiplies the update directly")
    _optimizer(config, settings)
    _schedule(config, settings.get("lr_schedule"))
    _hub_data(config, settings.get("hf_dataset"))
    if report := settings.get("report_to"):
        config.adapter["report_to"] = report if isinstance(report, list) else [*map(str.strip, str(report).split(","))]
    if settings.get("project_name"):
        config.adapter["project_name"] = settings["project_name"]
    config.note("keep", '"last", as mlx-lm does; "best" publishes the adapter with the lowest validation loss')
    config.adapter["keep"] = "last"
    known = {
        *DEFAULTS,
        "mask_prompt",
        "lora_parameters",
        "optimizer_config",
        "lr_schedule",
        "report_to",
        "project_name",
        "hf_dataset",
    }
    config.note_others((key for key, value in values.items() if key not in known and value), OTHERS)
    return config


def _hub_data(config: ForeignConfig, datasets: Any) -> None:
    """Take the first of the datasets of the Hub that `hf_dataset` names, with the names of its columns."""
    tables = [table for table in (datasets if isinstance(datasets, list) else [datasets]) if isinstance(table, Mapping)]
    for table in tables[1:]:
        config.note(
            "hf_dataset", f"{table.get('path')}: left out: give it a [dataset.NAME], and join all by a [mix.NAME]"
        )
    for table in tables[:1]:
        config.data = str(table.get("path", ""))
        if not is_hub_name(config.data):
            config.note("hf_dataset", f"{config.data}: left out: name it with its organization, as OWNER/NAME")
            config.data = ""
        names = {"prompt_feature": "user", "completion_feature": "assistant"}
        config.columns = {str(table[key]): role for key, role in names.items() if key in table}
        if "text_feature" in table:
            config.form = "text"
        rest = set(table) - {"path", "text_feature", *names}
        if rest:
            config.note(
                "hf_dataset", f"{', '.join(sorted(rest))} left out: the dataset and the adapter have fields for them"
            )


def _optimizer(config: ForeignConfig, settings: Mapping[str, Any]) -> None:
    name = str(settings["optimizer"]).lower()
    arguments = (settings.get("optimizer_config") or {}).get(name) or {}
    table = {"type": name, **arguments}
    if name in ("adam", "adamw") and "bias_correction" not in table:
        table["bias_correction"] = False  # the default of mlx; ours is True
        config.note("optimizer", "bias_correction = false, as mlx-lm has it; true learns faster in the first updates")
    config.adapter["optimizer"] = table


def _schedule(config: ForeignConfig, schedule: Any) -> None:
    if not isinstance(schedule, Mapping):
        return
    name, arguments = schedule.get("name"), [*(schedule.get("arguments") or ())]
    if warmup := schedule.get("warmup"):
        config.adapter["warmup"] = warmup
        config.adapter["warmup_init"] = schedule.get("warmup_init", 0.0)
    if arguments:
        config.adapter["learning_rate"] = arguments[0]
    match name, arguments:
        case "cosine_decay", [_, steps, *end]:
            config.adapter["lr_schedule"] = {"type": "cosine-decay", "steps": int(steps), "end": float(*end or (0.0,))}
        case "linear_schedule", [_, end, steps]:
            config.adapter["lr_schedule"] = {"type": "linear", "steps": int(steps), "end": float(end)}
        case "exponential_decay", [_, rate]:
            config.adapter["lr_schedule"] = {"type": "exponential-decay", "rate": rate}
        case "step_decay", [_, rate, every]:
            config.adapter["lr_schedule"] = {"type": "step-decay", "rate": rate, "every": int(every)}
        case _:
            config.note("lr_schedule", f"{name} with {len(arguments)} arguments: left out, the rate is constant")
