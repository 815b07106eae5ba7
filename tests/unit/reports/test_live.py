from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import pytest

from punie_build.engine import events
from punie_build.errors import UseError
from punie_build.reports.live import LiveServer


@pytest.fixture
def server(tmp_path) -> Iterator[LiveServer]:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/stage-a.html").write_text("a page")
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "reports/link.txt").write_text("secret")
    with LiveServer(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: LiveServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_pages_are_served_and_nothing_else(server):
    assert get(server, "/stage-a.html") == (200, "a page")
    assert "iframe" in get(server, "/")[1]
    assert "No page yet" in get(server, "/index.html")[1]
    for path in ("/../secret.html", "/%2e%2e/secret.html", "/../reports/stage-a.html", "/link.txt", "/stage-b.html"):
        assert get(server, path)[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:1"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/stage-a.html"])
def test_other_hosts_and_origins_are_refused(server, path, headers, status):
    assert get(server, path, **headers)[0] == status
    assert get(server, path, Origin=server.origin)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(server, method):
    assert get(server, "/", method)[0] == 501


def test_events_are_streamed_those_of_the_running_build_first(server, tmp_path):
    events.record(tmp_path, "start", tasks=2)
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.headers["Content-Type"].startswith("text/event-stream")

    def event() -> dict:
        line, blank = response.readline(), response.readline()
        assert blank == b"\n"
        return json.loads(line.removeprefix(b"data: "))

    assert event()["tasks"] == 2
    assert event() == {"event": "live"}
    events.record(tmp_path, "failed", task="stage:a", error="two\nlines")
    assert event()["error"] == "two\nlines"


def test_a_port_that_is_in_use_is_a_mistake_of_the_command(server, tmp_path):
    with pytest.raises(UseError, match="choose another port"):
        LiveServer(tmp_path, server.server_port)
    with pytest.raises(UseError, match="choose another port"):
        LiveServer(tmp_path, 99_999)
