"""Fixtures of the tests of storage: no cache and no connection at first, and an S3-compatible server with a bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from punie_build.storage import digests, remote
from tests.support.checkouts import BUCKET, Bucket
from tests.support.file_digests import make_unwritable


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start an S3-compatible server on loopback. Yield its address."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(server, monkeypatch) -> Iterator[Bucket]:
    """Create an empty bucket, and set the environment variables of its clients."""
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = Bucket(server)
    bucket.client.create_bucket(Bucket=BUCKET)
    yield bucket
    for name in bucket.names():
        bucket.client.delete_object(Bucket=BUCKET, Key=name)
    bucket.client.delete_bucket(Bucket=BUCKET)
    bucket.client.close()


@pytest.fixture(autouse=True)
def no_connection(monkeypatch) -> Iterator[None]:
    """Begin each test without a connection and without a store in the environment."""
    monkeypatch.delenv("PUNIE_BUILD_STORE", raising=False)
    yield
    remote._connections.clear()


@pytest.fixture(autouse=True)
def empty_memory(tmp_path_factory) -> Iterator[None]:
    """Begin each test with an empty memory, as a new process does, and close the cache after it."""
    digests._memory.clear()
    yield
    digests._memory.clear()
    digests.use_cache(make_unwritable(tmp_path_factory.mktemp("none")))
