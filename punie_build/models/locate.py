"""Locate the folder of a base: in the project, in the package, or downloaded from the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.errors import ModelError
from punie_build.models import hub_download, verify
from punie_build.models.safetensors import json_as, read, read_header
from punie_build.models.spec import Base
from punie_build.models.weights import weight_files
from punie_build.storage import digests, paths

OURS = (".json", ".safetensors", ".jinja", ".model", ".txt")  # files of a base that decide what it says

CONVERSION = "gguf-1"  # raise it if a GGUF file would become another base
INDEX = "model.safetensors.index.json"
TEXTS = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja")
NUMBERED = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
POINTER = "a Git LFS pointer - run `git lfs pull`"


class _Index(Struct):
    weight_map: dict[str, str] = {}


class _Quantization(Struct):
    bits: int | None = None
    group_size: int | None = None
    mode: str | None = None


CONFIG_TYPES: dict[str, Any] = {  # keys of config.json that are read after minutes of training -> their type
    "model_type": str | None,
    "quantization": _Quantization | None,
}


def locate(root: Path, base: Base) -> Path:
    """Return the folder of a base, whole; a Hub base is downloaded at its pinned revision. Raises ModelError."""
    folder = _download(base) if base.hub else _converted(root, base) if base.gguf else _folder(root, base)
    if problems := base_problems(folder, base):
        raise ModelError("\n".join(f"{base.name}: {problem}" for problem in problems))
    return folder


def base_problems(folder: Path, base: Base) -> list[str]:
    """Return the gaps of a base, or that its bits are not those of its recipe."""
    problems = gaps(folder)
    if not problems and base.bits and (bits := verify.quantization_bits(folder)) != base.bits:
        problems.append(f"bits: recipe {base.bits}, config.json {bits} - correct the recipe, or use another base")
    return problems


def gaps(folder: Path) -> list[str]:
    """Return the gaps of a base: files that are missing, cut off or damaged, by their headers and their index."""
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).exists()]
    files = {path.name: path for path in weight_files(folder)}
    missing += [] if files or (folder / INDEX).exists() else ["model*.safetensors"]
    advice = "a base is a folder as `mlx_lm.convert` writes it"
    problems = [f"no model there, {', '.join(missing)} missing - {advice}"] if missing else []
    problems += _damaged_texts(folder)
    try:
        indexed = read(folder / INDEX, json_as(_Index)).weight_map if (folder / INDEX).exists() else {}
    except ValueError as error:
        return [*problems, f"{error} - download or copy the base again"]
    numbered = [match for name in files if (match := NUMBERED.search(name))]
    shards = sorted({*indexed.values(), *(_shard(match, n) for match in numbered[:1] for n in range(int(match[2])))})
    if absent := [name for name in shards if name not in files]:
        names = f"{', '.join(absent[:3])}{' ...' if len(absent) > 3 else ''}"
        problems.append(f"{len(absent)} of {len(shards)} weight files missing ({names}) - copy or convert it again")
    tensors: set[str] = set()
    for path in files.values():
        try:
            tensors |= read(path, read_header).keys()
        except ValueError as error:
            problems.append(_damage(path, error))
    if not problems and (lost := indexed.keys() - tensors):
        problems.append(f"{len(lost)} tensors of {INDEX} are in no file ({min(lost)}) - copy or convert it again")
    return problems


def _shard(match: re.Match[str], index: int) -> str:
    return f"{match.string[: match.start()]}-{index + 1:05d}-of-{match[2]}.safetensors"


def _damaged_texts(folder: Path) -> Iterator[str]:
    """Yield the JSON files and the chat template of a base that cannot be read."""
    for name in TEXTS:
        path = folder / name
        if not (path.exists() or path.is_symlink()):
            continue
        try:
            if name.endswith(".json"):
                content = read(path, json_as(dict[str, msgspec.Raw]))
                _check_objects(name, content)
            else:
                read(path, lambda file: file.read_text(encoding="utf-8"))
        except ValueError as error:
            yield _damage(path, error)


def _check_objects(name: str, content: dict[str, msgspec.Raw]) -> None:
    """Raise ValueError if a quantization in config.json is no object, or holds other types than numbers."""
    for key in ("quantization", "quantization_config") if name == "config.json" else ():
        if bytes(content.get(key, b"null"))[:1] not in (b"{", b"n"):
            raise ValueError(f"{name}: {key}: expected an object")
    if name == "config.json":
        for key, kind in CONFIG_TYPES.items():
            try:
                msgspec.json.decode(content.get(key, b"null"), type=kind)
            except msgspec.ValidationError as error:
                raise ValueError(f"{name}: {key}: {error}") from None


def _damage(path: Path, error: ValueError) -> str:
    """Return a sentence on a file that cannot be read."""
    if path.is_symlink() and not path.exists():
        return f"{path.name}: a link to a file that is not there - copy it again"
    if path.is_file() and path.stat().st_size < 1024 and digests.LFS.match(path.read_bytes()):
        return f"{path.name}: {POINTER}"
    return f"{error} - copy it again"


def local_folder(root: Path, base: Base) -> Path | None:
    """Return the folder of a base in this project or in the package; None for a Hub base, and if it does not exist."""
    folder = None if base.hub else _folder(root, base)
    return folder if folder and folder.is_dir() else None


def available_folder(root: Path, base: Base) -> Path | None:
    """Return the folder of a base, or None if it, or a part of it, would have to be downloaded."""
    if not base.hub:
        return local_folder(root, base)
    folder = hub_download.snapshot(str(base.hub), str(base.revision))
    return None if gaps(folder) else folder


def base_digest(root: Path, base: Base, pointers: bool = False) -> str:
    """Return a text that identifies the weights and the tokenizer of a base.

    It is the commit of a Hub base, else the digest of the folder, or `absent` if the folder has no weights. With
    `pointers`, a Git LFS pointer counts as its file.
    """
    if base.hub:
        return f"{base.hub}@{base.revision}"
    if base.gguf:
        digest = digests.of_tree(root / base.gguf, (), pointers)
        return digest if digest == "absent" else f"{digest} {CONVERSION}"
    folder = _folder(root, base)
    if not list(folder.glob("*.safetensors")):
        return "absent"
    files = digests.of_folder(folder, pointers)
    return digests.of_listing({name: digest for name, digest in files.items() if name.endswith(OURS)})


def _folder(root: Path, base: Base) -> Path:
    if base.gguf:
        return root / paths.converted(digests.of_tree(root / base.gguf), CONVERSION)
    return paths.nano() if base.embedded else root / str(base.path)


def _converted(root: Path, base: Base) -> Path:
    """Return the folder that a GGUF file is converted to, once for its content."""
    file, folder = root / str(base.gguf), _folder(root, base)
    if not file.is_file():
        raise ModelError(f"{base.gguf}: no such file - copy it there")
    from punie_build.models import gguf_base

    gguf_base.convert(file, folder)
    return folder


def _download(base: Base) -> Path:
    """Return the snapshot of a Hub base. Files that the cache lacks are downloaded."""
    folder = hub_download.snapshot(str(base.hub), str(base.revision))
    if not gaps(folder):
        return folder
    try:
        return hub_download.download(str(base.hub), str(base.revision))
    except ModelError:
        raise
    except Exception as error:  # the client of the Hub passes on those of its HTTP library
        hint = (
            "HF_HUB_OFFLINE is set: unset it"
            if os.environ.get("HF_HUB_OFFLINE")
            else 'check the name, the revision and the network, then build again: it resumes; or use base = "nano"'
        )
        part = ", and only a part of it is in the cache" if folder.is_dir() else ""
        reason = str(error).splitlines()[0]
        raise ModelError(f"{base.hub}@{base.revision}: cannot be downloaded{part} ({reason}) - {hint}") from None
