"""An `mlx_lm.server` that has the name of its arm, and answers local clients only.

    python -m punie_build.evaluation.named_server NAME ORIGIN ... -- --model FOLDER --port N ...

`mlx_lm.server` loads any model that a request names, without the adapter, and answers any page of a browser. Here
`/v1/models` lists the arm, its name and `default_model` are answered by it, and other names, adapters, hosts and
origins are refused with a sentence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from punie_build.evaluation.request import MODEL_NAME, MODEL_OBJECT

HOSTS = ("127.0.0.1", "localhost", "[::1]")
Handler = Any  # mlx_lm.server.APIHandler


def is_local(host: str | None) -> bool:
    """Return whether the header Host of a request names this machine, as no page of another server can make it do."""
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:
        return False
    return name in HOSTS or f"[{name}]" in HOSTS


def client_problem(host: str | None, origin: str | None, origins: Sequence[str]) -> str | None:
    """Return why a client is refused: by the name it has for this machine, or the page that its request is from."""
    if not is_local(host):
        return f"the host {host!r} is refused - use http://127.0.0.1"
    if origin is not None and origin not in origins:
        return f"pages of {origin!r} are refused - serve with --allow-origin to let them ask"
    return None


def request_problem(name: str, model: str, adapter: str | None, draft: str) -> str | None:
    """Return why a request is refused: it names other weights than those that are served."""
    if model not in (name, MODEL_NAME):
        return f"model {model!r} is not served here - use {name!r}"
    if adapter is not None or draft != MODEL_NAME:
        return f"other adapters and draft models are not loaded - {name!r} is served as it is"
    return None


def install(handler: type[Handler], name: str, origins: Sequence[str]) -> None:
    """Give the handler of `mlx_lm.server` the name of the arm and its rules."""
    for method in ("do_GET", "do_POST", "do_OPTIONS"):
        setattr(handler, method, _guarded(getattr(handler, method), origins))
    for method in ("generate_response", "completion_usage_response"):
        setattr(handler, method, _named(getattr(handler, method), name))
    handler.handle_models_request = lambda self: _list_models(self, name)
    handler.validate_model_parameters = _validated(handler.validate_model_parameters, name)


def _guarded(method: Callable[[Handler], None], origins: Sequence[str]) -> Callable[[Handler], None]:
    def handle(handler: Handler) -> None:
        if problem := client_problem(handler.headers.get("Host"), handler.headers.get("Origin"), origins):
            handler.close_connection = True  # the body is not read
            _send(handler, 403, _error(problem))
        else:
            method(handler)

    return handle


def _named(method: Callable[..., dict[str, Any]], name: str) -> Callable[..., dict[str, Any]]:
    def respond(handler: Handler, *args: Any, **options: Any) -> dict[str, Any]:
        return dict(method(handler, *args, **options), model=name)

    return respond


def _validated(method: Callable[[Handler], None], name: str) -> Callable[[Handler], None]:
    def validate(handler: Handler) -> None:
        method(handler)
        if problem := request_problem(name, handler.requested_model, handler.adapter, handler.requested_draft_model):
            raise ValueError(problem)
        handler.requested_model = MODEL_NAME

    return validate


def _list_models(handler: Handler, name: str) -> None:
    entry = {"id": name, "object": MODEL_OBJECT, "created": handler.created, "owned_by": "punie-build"}
    parts = handler.path.partition("?")[0].rstrip("/").split("/")[3:]
    if not parts:
        _send(handler, 200, {"object": "list", "data": [entry]})
    elif "/".join(parts) == name:
        _send(handler, 200, entry)
    else:
        _send(handler, 404, _error(f"model {'/'.join(parts)!r} is not served here - use {name!r}"))


def _error(problem: str) -> dict[str, Any]:
    return {"error": {"message": problem, "type": "invalid_request_error"}}


def _send(handler: Handler, status: int, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def main(arguments: list[str]) -> None:
    """Serve until the process ends."""
    from mlx_lm import server

    end = arguments.index("--")
    name, *origins = arguments[:end]
    install(server.APIHandler, name, origins)
    allowed = ["--allowed-origins", ",".join(origins) or "none"]
    sys.argv = [sys.argv[0], *arguments[end + 1 :], *allowed]
    server.main()


if __name__ == "__main__":
    main(sys.argv[1:])
