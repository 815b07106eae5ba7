"""Signatures of folders that are published, by OpenSSF Model Signing: `model.sig` covers the name and content of each
file. Needs the extra `punie-build[signed]`.

    openssl ecparam -name prime256v1 -genkey -noout -out key.pem && openssl ec -in key.pem -pubout -out key.pub
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from punie_build.errors import UseError

SIGNATURE = "model.sig"
NOT_SIGNED = (".cache",)  # what downloads of huggingface_hub leave beside the files; git's files are left out anyway


def sign(folder: Path, key: Path) -> None:
    """Write `model.sig` with an elliptic private key. Raises UseError if the key cannot sign."""
    signing = _library("signing")
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
        config.set_hashing_config(_hashing()).sign(folder, folder / SIGNATURE)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UseError(
            f"{key}: cannot sign ({_reason(error)}) - name a PEM file with a private key of the curve P-256, P-384 or "
            "P-521 that has no password"
        ) from None


def problem(folder: Path, key: Path) -> str | None:
    """Return why the files of a folder are not those that the owner of a public key signed, or None. Raises UseError if
    the file has no such key."""
    verifying = _library("verifying")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UseError(f"{key}: no public key of an elliptic curve, as PEM ({_reason(error)})") from None
    try:
        config.set_hashing_config(_hashing()).verify(folder, folder / SIGNATURE)
    except Exception as error:  # a signature of anyone: its parsers and their errors are many
        return f"{SIGNATURE}: not a signature of these files by {key.name} ({_reason(error)}) - do not use them"
    return None


def _hashing() -> Any:
    return _library("hashing").Config().set_ignored_paths(paths=[SIGNATURE, *NOT_SIGNED])


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _library(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"model_signing.{module}")
    except ImportError:
        raise UseError(
            "signatures of published folders need the package model-signing - pip install 'punie-build[signed]'"
        ) from None
