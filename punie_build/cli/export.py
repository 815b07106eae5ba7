"""The command `export`: an adapter or a model in the formats of other programs, read back and compared.

punie-build export adapter:v1 --to peft --into out          for transformers with PEFT
punie-build export adapter:v1 --to gguf-lora --into out     for llama.cpp, beside the GGUF of its base
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.cli.adapter_folder import base_of_adapter
from punie_build.cli.evaluate import ModelUnderTest, find_model
from punie_build.cli.options import Command, Options, output_folder
from punie_build.engine.recipe import Recipe
from punie_build.errors import UseError
from punie_build.export import app_folder, gguf_adapter, gguf_model, lora, peft_adapter
from punie_build.models.origin import read_origin
from punie_build.models.spec import Base
from punie_build.models.verify import quantization_bits
from punie_build.project import Project
from punie_build.runtime.console import format_bytes

RECORD = "export.json"
FORMATS = {
    "peft": "an adapter for transformers with PEFT",
    "gguf-lora": "an adapter for llama.cpp, as a GGUF file",
    "gguf": "a model for llama.cpp, as a GGUF file",
    "ollama": "a model, or a base and an adapter, with a Modelfile",
    "lmstudio": "a model in a folder of LM Studio",
}
FOR_ADAPTERS = ("peft", "gguf-lora")
FOR_MODELS = ("gguf", "lmstudio")


class ExportRecord(Struct, frozen=True, kw_only=True):
    """export.json: the target of an export, its format, the `files` that were written, and notes for people."""

    target: str
    format: str
    files: tuple[str, ...]
    notes: tuple[str, ...]


def export(root: Path, options: Options) -> int:
    """Write an adapter or a model for PEFT, llama.cpp, Ollama or LM Studio. It is read back and compared."""
    target = options.target
    model = find_model(root, options.model, target) if options.model else find_model(root, target)
    _check_format(options, is_adapter=model.adapter is not None)
    _check_folder(root / options.into, options.into)
    with output_folder(root, options.into, RECORD) as out:
        notes = _write(root, options, model, out)
        files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        record = ExportRecord(target=target, format=options.to, files=(*files, RECORD), notes=tuple(notes))
        (out / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
        sizes = {file: (out / file).stat().st_size for file in files}
    for file, size in sizes.items():
        print(f"    {options.into}/{file}  {format_bytes(size)}")
    print(
        "\n".join(
            [
                f"{target}: read back and compared: names, shapes and values are as they were written",
                *map("note: {}".format, notes),
            ]
        )
    )
    return 0


def _check_folder(folder: Path, name: str) -> None:
    """Raise UseError if a folder holds files that no export wrote: they would be replaced."""
    if not folder.is_dir() or not (folder / RECORD).is_file():
        return
    try:
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=ExportRecord)
    except msgspec.MsgspecError:
        raise UseError(f"{name}: its {RECORD} was not written by export - choose another --into") from None
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if others := sorted(present - {*record.files}):
        raise UseError(f"{name}: {others[0]} was not written by export, and would be lost - choose another --into")


def _check_format(options: Options, is_adapter: bool) -> None:
    """Raise UseError for a format that is not one of adapters, or of models."""
    target, form = options.target, options.to
    if not is_adapter and form in FOR_ADAPTERS:
        others = ", ".join(each for each in FORMATS if each not in FOR_ADAPTERS)
        raise UseError(f"{target}: no adapter, --to {form} is for adapters - choose {others}")
    if is_adapter and form in FOR_MODELS:
        raise UseError(
            f"{target}: an adapter, --to {form} is for models - export a model of it with `bits = 16`, or choose ollama"
        )
    if options.precision and form in FOR_ADAPTERS:
        raise UseError(f"--precision {options.precision}: --to {form} changes no value - remove it")


def _write(root: Path, options: Options, model: ModelUnderTest, out: Path) -> list[str]:
    """Write the files of a format, and return notes."""
    notes: list[str] = []
    stem = _file_name(model.name)
    adapter_file = f"{stem}-lora.gguf" if model.adapter else None
    if model.adapter:
        adapter = lora.read_lora(options.target, model.adapter, model.model)
        notes += adapter.notes
        if (bits := quantization_bits(model.model)) < 16:
            notes.append(f"it was trained on a base of {bits} bits: on another precision of it, answers may differ")
        if options.to == "peft":
            base_name, is_known = _base_name(root, options.model, options.target)
            peft_adapter.write(adapter, model.model, base_name, out)
            unknown = f"base_model_name_or_path is {base_name}, no model of the Hub - give `base_model` in the recipe"
            return notes if is_known else [*notes, unknown]
        gguf_adapter.write(adapter, out / str(adapter_file))
        stem = f"{stem}-base"
    if options.to == "gguf-lora":
        return [*notes, "use it with the GGUF of the base it was trained on: llama-cli -m BASE.gguf --lora FILE"]
    folder = app_folder.lmstudio_folder(stem, out) if options.to == "lmstudio" else out
    notes += gguf_model.write(options.target, model.model, folder / f"{stem}.gguf", options.precision)
    if options.to == "ollama":
        notes += app_folder.write_modelfile(model.model, f"{stem}.gguf", adapter_file, out)
    if options.to == "lmstudio":
        notes.append(f"copy {app_folder.PUBLISHER}/ into the models of LM Studio, such as ~/.lmstudio/models")
    return notes


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", Path(name).name) or "exported"


def _base_name(root: Path, base: str | None, name: str) -> tuple[str, bool]:
    """Return the name of an adapter's base for PEFT, and whether it is one of the Hub."""
    recipe = Project.load(root).recipe if Project.has_recipes(root) else None
    base = base or _base_of(root, recipe, name)
    entry: Any = recipe.find("any-base", base) if recipe else None
    while entry is not None and not isinstance(entry.spec, Base):  # a model of the recipes: the base that it is of
        assert recipe is not None
        trained = recipe.find("trained", entry.spec.adapter) if getattr(entry.spec, "adapter", None) else entry
        entry = recipe.find("any-base", trained.spec.base) if trained is not None else None
    known = read_origin(root, entry.spec).base_model if entry else ""
    return (known, True) if known else (base, False)


def _base_of(root: Path, recipe: Recipe | None, name: str) -> str:
    trained = recipe.find("trained", name) if recipe else None
    return str(trained.spec.base) if trained is not None else base_of_adapter(root, recipe, name)


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "target", metavar="TARGET", help="an adapter or a model, such as adapter:v1, or a folder with one"
    )
    command.add_argument(
        "--to",
        required=True,
        choices=tuple(FORMATS),
        help="; ".join(f"{name}: {text}" for name, text in FORMATS.items()),
    )
    command.add_argument(
        "--precision", choices=("f32", "f16", "bf16"), help="of the matrices of a model in GGUF; default: its own"
    )
    command.add_argument("--into", required=True, metavar="DIR", help="the folder to write")
    command.add_argument(
        "--model", metavar="BASE", help="the base of a folder with an adapter; default: as its config says"
    )


COMMANDS: dict[str, Command] = {"export": (export, _options)}
