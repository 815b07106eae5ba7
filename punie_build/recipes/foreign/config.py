"""The recipe that a configuration of another trainer becomes, and parts that several readers need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, structs

from punie_build.schema.spec import toml, toml_key

MODULES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), "self_attn"),
    **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), "mlp"),
}
OPTIMIZERS = {  # a name of transformers or axolotl, up to its first digit or underscore -> ours
    "adamw": "adamw",
    "adam": "adam",
    "paged": "adamw",
    "lion": "",
    "adafactor": "adafactor",
    "sgd": "sgd",
    "muon": "muon",
}


class RecipeTables(Struct):
    """Tables of a recipe by name; the fields are kinds of artifacts."""

    base: dict[str, dict[str, Any]] = {}
    dataset: dict[str, dict[str, Any]] = {}
    adapter: dict[str, dict[str, Any]] = {}


class ForeignConfig(Struct, kw_only=True):
    """The parts of a recipe that a configuration gives.

    `model` and `data` are names of the Hub or paths; `split`, `form` and `columns` are those of the recipe's dataset;
    `adapter` has fields of the table; `notes` has the settings that are left out, or have another meaning here.
    """

    model: str = ""
    data: str = ""
    split: dict[str, float] = {}
    form: str = ""
    columns: dict[str, str] = {}
    adapter: dict[str, Any] = {}
    notes: list[str] = []

    def note(self, key: str, text: str) -> None:
        """Add a note on a key."""
        self.notes.append(f"{key}: {text}")

    def note_others(self, keys: Iterable[str], known: Mapping[str, str]) -> None:
        """Add notes on keys that were not read; `known` has sentences on some. An empty sentence needs no note."""
        for key in keys:
            if text := known.get(key, "not understood, left out"):
                self.note(key, text)

    def tables(self, name: str) -> RecipeTables:
        """Return the tables of a recipe; the adapter and its data have this name."""
        tables = RecipeTables()
        base = f"{name}-base"
        if self.model == "nano":
            base = self.model
        elif self.model:
            tables.base[base] = {"hub" if is_hub_name(self.model) else "path": self.model}
        if self.data:
            source = {"type": "hub", "repo": self.data} if is_hub_name(self.data) else _local(self.data)
            fields = {"form": self.form, "columns": self.columns, "split": self.split}
            tables.dataset[name] = {"source": source} | {key: value for key, value in fields.items() if value}
        tables.adapter[name] = {"base": base, "data": name, **self.adapter}
        return tables


def _local(path: str) -> dict[str, str]:
    return {"type": "local", "path": path}


def is_hub_name(text: str) -> bool:
    """Return whether a text is `org/name`, and no path."""
    organization, _, name = text.partition("/")
    return bool(organization and name) and "/" not in name and organization not in (".", "..", "~") and text[0] != "."


def recipe_text(name: str, config: ForeignConfig, origin: str) -> str:
    """Return the recipe as TOML, with the notes as comments."""
    lines = [f"# From {origin}"]
    lines += [f"# - {note}" for note in config.notes]
    for kind, tables in structs.asdict(config.tables(name)).items():
        for key, table in tables.items():
            lines += ["", f"[{toml_key(kind)}.{toml_key(key)}]"]
            lines += [f"{toml_key(field)} = {toml(value)}" for field, value in table.items()]
    return "\n".join(lines) + "\n"


def target_modules(config: ForeignConfig, key: str, modules: object) -> list[str] | None:
    """Return module names of transformers as ours, such as `self_attn.q_proj`; None for all linear layers."""
    if not modules or modules in ("all-linear", ["all-linear"]):
        return None
    names = [modules] if isinstance(modules, str) else [*modules] if isinstance(modules, list | tuple) else []
    unknown = [name for name in names if name not in MODULES]
    if unknown:
        config.note(
            key, f"{', '.join(map(str, unknown))} left out: not a linear layer of attention or MLP by this name"
        )
    return [f"{MODULES[name]}.{name}" for name in names if name in MODULES] or None


def lora_table(rank: Any, alpha: Any, dropout: Any, keys: list[str] | None) -> dict[str, Any]:
    """Return the table `lora`. The scale is alpha / rank, as PEFT computes it."""
    rank = int(rank or 8)
    table: dict[str, Any] = {"rank": rank, "scale": float(alpha or rank) / rank}
    if dropout:
        table["dropout"] = float(dropout)
    return table | ({"keys": keys} if keys else {})


def optimizer(config: ForeignConfig, key: str, name: str, weight_decay: Any) -> dict[str, Any]:
    """Return the optimizer by a name of transformers, such as `adamw_8bit`. States are never of 8 bits here."""
    word = name.lower().replace("-", "_")
    ours = next((value for prefix, value in OPTIMIZERS.items() if word.startswith(prefix)), "")
    if not ours:
        config.note(key, f"{name}: not an optimizer of mlx, `adamw` instead")
        ours = "adamw"
    elif "8bit" in word or "paged" in word:
        config.note(key, f"{name}: states are not quantized or paged here, `{ours}`")
    table: dict[str, Any] = {"type": ours}
    if ours in ("adamw", "muon", "sgd", "adafactor") and weight_decay is not None:
        table["weight_decay"] = float(weight_decay)
    elif weight_decay:
        config.note("weight_decay", f"left out: `{ours}` has none")
    return table


def schedule(config: ForeignConfig, key: str, name: str) -> dict[str, Any]:
    """Return the schedule by a name of transformers."""
    match name:
        case "linear":
            return {"type": "linear"}
        case "cosine":
            return {"type": "cosine-decay"}
        case "constant" | "constant_with_warmup":
            return {"type": "constant"}
    config.note(key, f"{name}: not a schedule here, `cosine-decay` instead")
    return {"type": "cosine-decay"}


def take_common(config: ForeignConfig, values: Mapping[str, Any], accumulated: int) -> None:
    """Take the settings that axolotl and the trainers of transformers call alike. Their steps are updates, ours are
    batches: an update has `accumulated` of them."""
    for key, field in (
        ("seed", "seed"),
        ("max_grad_norm", "max_grad_norm"),
        ("warmup_steps", "warmup"),
        ("neftune_noise_alpha", "neftune_noise_alpha"),
    ):
        if values.get(key):
            config.adapter[field] = values[key]
    for key, field in (
        ("logging_steps", "steps_per_report"),
        ("eval_steps", "steps_per_eval"),
        ("save_steps", "save_every"),
    ):
        if isinstance(values.get(key), int):
            config.adapter[field] = values[key] * accumulated
    if values.get("warmup_ratio") and not values.get("warmup_steps"):
        config.note("warmup_ratio", "left out: set warmup, in updates")
