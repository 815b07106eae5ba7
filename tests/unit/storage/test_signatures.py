from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from punie_build.errors import UseError
from punie_build.storage import signatures, store
from tests.support import stored_targets
from tests.support.checkouts import warnings

KEY = "ed25519:" + "0" * 64
SETTINGS = '[tool.punie-build]\nstore = "{url}"\nstore_verify = ["{key}"]\n'


def test_without_the_package_its_extra_is_named_and_nothing_is_restored(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "securesystemslib", None)
    for call in (lambda: signatures.sign(b"{}", tmp_path / "key"), lambda: signatures.verified(b"{}", [KEY])):
        with pytest.raises(UseError, match=r"pip install 'punie-build\[signed\]'"):
            call()


@pytest.fixture
def keys(tmp_path) -> dict[str, str]:
    """Return the public keys of two new private keys, by the path of their files."""
    pytest.importorskip("securesystemslib.dsse", reason="needs the extra `signed`")
    return {name: signatures.new_key(tmp_path / name) for name in ("ours", "theirs")}


def test_a_record_is_verified_by_the_key_that_signed_it_and_no_other(tmp_path, keys):
    envelope = signatures.sign(b"record", tmp_path / "ours")
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o600
    assert signatures.verified(envelope, [keys["theirs"], keys["ours"]]) == b"record"
    assert signatures.verified(envelope, [keys["theirs"]]) is None
    values = json.loads(envelope)
    for damaged in (
        {**values, "payload": "b3RoZXI="},
        {**values, "payloadType": "text/plain"},
        {**values, "signatures": []},
        {**values, "signatures": values["signatures"] * 2},
        {},
        [],
    ):
        assert signatures.verified(json.dumps(damaged).encode(), [keys["ours"]]) is None
    assert signatures.verified(b"[" * 100_000, [keys["ours"]]) is None
    with pytest.raises(UseError, match="the file exists"):
        signatures.new_key(tmp_path / "ours")
    (tmp_path / "empty").touch()
    for name in ("empty", "absent"):
        with pytest.raises(UseError, match="no ed25519 key without a password"):
            signatures.sign(b"record", tmp_path / name)


@pytest.mark.parametrize("signer", ["ours", "theirs", ""])
def test_a_project_that_verifies_restores_only_what_its_keys_signed(tmp_path, monkeypatch, capsys, keys, signer):
    url = (tmp_path / "shared").as_uri()
    monkeypatch.setenv("PUNIE_BUILD_STORE", url)
    if signer:
        monkeypatch.setenv("PUNIE_BUILD_SIGN_KEY", str(tmp_path / signer))
    one, two = (Path(tmp_path, name) for name in ("one", "two"))
    one.mkdir()
    two.mkdir()
    lock = stored_targets.put(one, {"a": "text"})
    (two / "pyproject.toml").write_text(SETTINGS.format(url=url, key=keys["ours"]))
    found = store.find(two, lock.key)
    assert found == (lock if signer == "ours" else None)
    assert len(warnings(capsys)) == (signer != "ours")
