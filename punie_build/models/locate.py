"""Locate the folder of a base: in the project, in the package, or downloaded from the Hugging Face Hub."""

from __future__ import annotations

import os
from pathlib import Path

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


class _Index(Struct):
    weight_map: dict[str, str] = {}


def locate(root: Path, base: Base) -> Path:
    """Return the folder of a base, whole; a Hub base is downloaded at its pinned revision. Raises ModelError."""
    folder = _download(base) if base.hub else _converted(root, base) if base.gguf else _folder(root, base)
    if problems := gaps(folder):
        raise ModelError("\n".join(f"{base.name}: {problem}" for problem in problems))
    if base.bits and (bits := verify.quantization_bits(folder)) != base.bits:
        raise ModelError(
            f"{base.name}: bits: recipe {base.bits}, config.json {bits} - correct the recipe, or use another base"
        )
    return folder


def gaps(folder: Path) -> list[str]:
    """Return the gaps of a base: files that are missing or cut off, by their own headers and by their index."""
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).exists()]
    files = {path.name: path for path in weight_files(folder)}
    missing += [] if files or (folder / INDEX).exists() else ["model*.safetensors"]
    advice = "a base is a folder as `mlx_lm.convert` writes it"
    problems = [f"no model there, {', '.join(missing)} missing - {advice}"] if missing else []
    try:
        indexed = read(folder / INDEX, json_as(_Index)).weight_map if (folder / INDEX).exists() else {}
    except ValueError as error:
        return [*problems, f"{error} - download or copy the base again"]
    shards = sorted(set(indexed.values()))
    if absent := [name for name in shards if name not in files]:
        names = f"{', '.join(absent[:3])}{' ...' if len(absent) > 3 else ''}"
        problems.append(f"{len(absent)} of {len(shards)} weight files missing ({names}) - copy or convert it again")
    tensors: set[str] = set()
    for path in files.values():
        try:
            tensors |= read(path, read_header).keys()
        except ValueError as error:
            is_pointer = digests.LFS.match(path.read_bytes()[:1024]) if path.stat().st_size < 1024 else None
            reason = (
                f"{path.name}: a Git LFS pointer - run `git lfs pull`" if is_pointer else f"{error} - copy it again"
            )
            problems.append(reason)
    if not problems and (lost := indexed.keys() - tensors):
        problems.append(f"{len(lost)} tensors of {INDEX} are in no file ({min(lost)}) - copy or convert it again")
    return problems


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
        raise ModelError(
            f"{base.hub}@{base.revision}: cannot be downloaded ({str(error).splitlines()[0]}) - {hint}"
        ) from None
