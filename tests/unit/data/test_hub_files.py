from __future__ import annotations

import hashlib

import pytest

from punie_build.data.hub_files import check_digest
from punie_build.errors import DataError


def test_a_file_of_other_bytes_than_the_listing_names_is_refused(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"one")
    check_digest(path, "me/rows@main: train.jsonl", hashlib.sha256(b"one").hexdigest())
    check_digest(path, "me/rows@main: train.jsonl", "")
    with pytest.raises(DataError, match=r"^me/rows@main: train.jsonl: its sha256 is .* - remove .* to download"):
        check_digest(path, "me/rows@main: train.jsonl", hashlib.sha256(b"two").hexdigest())
