"""Signatures of the records in a shared store: who made a result, for those who do not trust all that may write to it.

A record is signed with the ed25519 key that PUNIE_BUILD_SIGN_KEY names, as an envelope of DSSE
(github.com/secure-systems-lab/dsse) beside the record. A project that lists public keys as `store_verify` restores from
its store only what one of them signed. Needs the extra `punie-build[signed]`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from punie_build.errors import UseError

PAYLOAD_TYPE = "application/vnd.punie-build.lock+json"
SCHEME = "ed25519"
PREFIX = f"{SCHEME}:"
VARIABLE = "PUNIE_BUILD_SIGN_KEY"


def new_key(path: Path) -> str:
    """Write a new private key, which only its owner can read. Return the public key, as `store_verify` names it."""
    signer = _library().CryptoSigner.generate_ed25519()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UseError(f"{path}: the file exists - name another one") from None
    with os.fdopen(handle, "wb") as file:
        file.write(signer.private_bytes)
    return PREFIX + str(signer.public_key.keyval["public"])


def sign(record: bytes, key: Path) -> bytes:
    """Return the envelope of a record. Raise UseError if the key cannot be read."""
    library = _library()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.dsse import Envelope

    try:
        private: Any = load_pem_private_key(key.read_bytes(), None)
        public = private.public_key().public_bytes_raw().hex()
        signer = library.CryptoSigner(private, _public(public))
        envelope = Envelope(record, PAYLOAD_TYPE, {})
        envelope.sign(signer)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UseError(
            f"{VARIABLE}: {key}: no ed25519 key without a password ({error}) - "
            "`punie-build store keygen FILE` writes one"
        ) from None
    return json.dumps(envelope.to_dict()).encode()


def verified(envelope: bytes, keys: Sequence[str]) -> bytes | None:
    """Return the record in an envelope if one of these public keys signed it, else None."""
    _library()
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error

    try:
        content = Envelope.from_dict(json.loads(envelope))
        if content.payload_type != PAYLOAD_TYPE:
            return None
        content.verify([_public(key.removeprefix(PREFIX)) for key in keys], 1)
    except (Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return bytes(content.payload)


def _public(key: str) -> Any:
    return _library().SSlibKey(key, SCHEME, SCHEME, {"public": key})


def _library() -> Any:
    try:
        from securesystemslib import signer
    except ImportError:
        raise UseError(
            "signed records need the package securesystemslib - pip install 'punie-build[signed]', or remove "
            f"`store_verify` and {VARIABLE}"
        ) from None
    return signer
