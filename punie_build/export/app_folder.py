"""Folders of a GGUF file as Ollama and LM Studio read them."""

from __future__ import annotations

from pathlib import Path

from punie_build.export import model_folder
from punie_build.models.verify import vocabulary

PUBLISHER = "punie-build"
NO_TEMPLATE = (
    "TEMPLATE is left out: Ollama has no Jinja. It takes the chat template of the GGUF if it knows it, else the bare "
    "prompt - compare `ollama show --modelfile NAME`"
)


def write_modelfile(base: Path, gguf: str, adapter: str | None, out: Path) -> tuple[str, ...]:
    """Write the Modelfile of Ollama into `out`, for files beside it, and return notes.

    `base` is the folder with the tokenizer whose end tokens stop an answer.
    """
    words = vocabulary(base)
    stops = [words[number] for number in model_folder.eos_token_ids(base) if number in words]
    lines = [f"# {line}" for line in NO_TEMPLATE.split(". ", 1)]
    lines += [f"FROM ./{gguf}"] + ([f"ADAPTER ./{adapter}"] if adapter else [])
    lines += [f'PARAMETER stop "{word}"' for word in stops if '"' not in word]
    (out / "Modelfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return (NO_TEMPLATE, "create it in this folder: `ollama create NAME -f Modelfile`")


def lmstudio_folder(name: str, out: Path) -> Path:
    """Return the folder of a model below `out`: LM Studio reads publisher/model/*.gguf."""
    folder = out / PUBLISHER / name
    folder.mkdir(parents=True)
    return folder
