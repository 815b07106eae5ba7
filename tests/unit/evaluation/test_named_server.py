"""The rules of a server with a name: which clients and which requests it refuses."""

from __future__ import annotations

import pytest

from punie_build.evaluation.named_server import client_problem, request_problem


@pytest.mark.parametrize(
    ("host", "origin", "problem"),
    [
        ("127.0.0.1:80", None, None),
        ("localhost", None, None),
        ("[::1]:8080", None, None),
        ("LOCALHOST:1", None, None),
        ("127.0.0.1", "https://ui.example", None),
        ("127.0.0.1", "https://other.example", "pages of 'https://other.example' are refused"),
        ("127.0.0.1", "null", "pages of 'null' are refused"),
        ("127.0.0.1.evil.example", None, "the host '127.0.0.1.evil.example' is refused"),
        ("evil.example:80", "https://ui.example", "is refused"),
        ("user@127.0.0.1:80", None, None),
        ("[", None, "is refused"),
        ("", None, "is refused"),
        (None, None, "is refused"),
    ],
)
def test_other_hosts_and_pages_are_refused(host, origin, problem):
    text = client_problem(host, origin, ["https://ui.example"])
    assert (text is None) if problem is None else problem in text


def test_other_weights_are_refused():
    assert request_problem("v1", "v1", None, "default_model") is None
    assert request_problem("v1", "default_model", None, "default_model") is None
    assert "model 'gpt' is not served here - use 'v1'" in request_problem("v1", "gpt", None, "default_model")
    assert "'v1' is served as it is" in request_problem("v1", "v1", "adapters/x", "default_model")
    assert "'v1' is served as it is" in request_problem("v1", "v1", None, "gpt")
