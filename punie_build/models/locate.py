"""Locate the folder of a base: in the project, in the package, or downloaded from the Hugging Face Hub."""

from __future__ import annotations

import os
from pathlib import Path

from punie_build.errors import ModelError
from punie_build.models import verify
from punie_build.models.spec import Base
from punie_build.storage import digests, paths

OURS = (".json", ".safetensors", ".jinja", ".model", ".txt")  # files of a base that decide what it says


def locate(root: Path, base: Base) -> Path:
    """Return the folder of a base; a Hub base is downloaded once, at its pinned revision. Raises ModelError."""
    folder = _download(base) if base.hub else _folder(root, base)
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).exists()]
    if not list(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise ModelError(
            f"{base.name}: no model there, {', '.join(missing)} missing - "
            "a base is a folder as `mlx_lm.convert` writes it"
        )
    if base.bits and (bits := verify.quantization_bits(folder)) != base.bits:
        raise ModelError(
            f"{base.name}: bits: recipe {base.bits}, config.json {bits} - correct the recipe, or use another base"
        )
    return folder


def local_folder(root: Path, base: Base) -> Path | None:
    """Return the folder of a base in this project or in the package; None for a Hub base, and if it does not exist."""
    folder = None if base.hub else _folder(root, base)
    return folder if folder and folder.is_dir() else None


def available_folder(root: Path, base: Base) -> Path | None:
    """Return the folder of a base, or None if it would have to be downloaded."""
    if not base.hub:
        return local_folder(root, base)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(base.hub, revision=base.revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def base_digest(root: Path, base: Base, pointers: bool = False) -> str:
    """Return a text that identifies the weights and the tokenizer of a base.

    It is the commit of a Hub base, else the digest of the folder, or `absent` if the folder has no weights. With
    `pointers`, a Git LFS pointer counts as its file.
    """
    if base.hub:
        return f"{base.hub}@{base.revision}"
    folder = _folder(root, base)
    if not list(folder.glob("*.safetensors")):
        return "absent"
    files = digests.of_folder(folder, pointers)
    return digests.of_listing({name: digest for name, digest in files.items() if name.endswith(OURS)})


def _folder(root: Path, base: Base) -> Path:
    return paths.nano() if base.embedded else root / str(base.path)


def _download(base: Base) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(base.hub), revision=base.revision, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(
            snapshot_download(
                str(base.hub),
                revision=base.revision,
                allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken"],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        hint = (
            "HF_HUB_OFFLINE is set: unset it"
            if os.environ.get("HF_HUB_OFFLINE")
            else 'check the name, the revision and the network, or use base = "nano"'
        )
        raise ModelError(
            f"{base.hub}@{base.revision}: cannot be downloaded ({str(error).splitlines()[0]}) - {hint}"
        ) from None
