"""Settings of a project, from the table `[tool.punie-build]` of its `pyproject.toml`. They enter no key.

    [tool.punie-build]
    store = "s3://bucket/punie"
    store_options = { endpoint_url = "..." }     # passed to fsspec as they are
    store_verify = ["ed25519:..."]               # who must have signed its records (`signatures`)
    executor = "dask://10.0.0.5:8786"            # where steps run; "local" is this machine
    executor_options = { python = "..." }        # of an executor ssh://HOST,HOST

The environment variable `PUNIE_BUILD_STORE` overrides `store`; if it is empty, there is no shared store. Likewise
`PUNIE_BUILD_EXECUTOR`, or the option `--executor`, overrides `executor`.

A repository may name any host, and a request to it is signed with the credentials of the user. So a store or an
executor is used only if the user has allowed it, with these options: by the variable, or in
`~/.config/punie-build/stores.toml`:

    allowed = ["s3://bucket/punie", "s3://other {\"endpoint_url\":\"https://s3.example.org\"}"]
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from punie_build.errors import RecipeError
from punie_build.schema.spec import Spec
from punie_build.schema.validation import mistakes
from punie_build.storage import atomic, paths, project_file

URL = re.compile(r"[a-z0-9+.-]+://.+")
LOCAL = "local"
EXECUTOR = r"\A(local|dask(\+tls)?://[^/\s]+:[0-9]+|ssh://[^/\s,-][^/\s,]*(,[^/\s,-][^/\s,]*)*)\Z"
EXECUTOR_FORMS = "dask://HOST:PORT, ssh://HOST,HOST or local"


class ExecutorOptions(Spec, frozen=True, kw_only=True):
    """The options of an executor `ssh://HOST,HOST`.

    `python`: the path of Python on the hosts, with punie-build; by default that of this process. `slots`: tasks at a
    time for each host. `resources`: what each host offers, such as `{ METAL = 1 }`. `connect`: options of asyncssh.
    """

    python: Annotated[str, Meta(pattern=r"\A([^\s-].*)?\Z")] = ""
    slots: Annotated[int, Meta(ge=1)] = 1
    resources: dict[str, Annotated[float, Meta(gt=0)]] = field(default_factory=dict)
    connect: dict[str, Any] = field(default_factory=dict)


class Settings(Spec, frozen=True, kw_only=True):
    """The settings. `store`: the URL of the shared store. `store_options`: options of its fsspec file system.
    `store_verify`: public keys, one of which must have signed a record of it. `executor`: where steps run;
    `executor_options`: its options."""

    store: str | None = None
    store_options: dict[str, Any] = field(default_factory=dict)
    store_verify: tuple[Annotated[str, Meta(pattern=r"\Aed25519:[0-9a-f]{64}\Z")], ...] = ()
    executor: Annotated[str, Meta(pattern=EXECUTOR)] = LOCAL
    executor_options: ExecutorOptions = ExecutorOptions()


def load(root: Path) -> Settings:
    """Return the settings of a project. Raise RecipeError if `[tool.punie-build]` has mistakes."""
    return _given.get(root) or _read(root, os.environ.get("PUNIE_BUILD_STORE"))


_given: dict[Path, Settings] = {}


def give(root: Path, settings: Settings | None) -> None:
    """Have a folder use settings that came with the task that it is for; with None, no longer. This process allows
    them: who sends tasks to a worker runs code there."""
    if settings is None:
        _given.pop(root, None)
    else:
        _given[root] = settings


def executor(root: Path) -> str:
    """Return where the steps of a project run: the URL of an executor that the user allows, or `local`. Raises
    RecipeError."""
    named = os.environ.get("PUNIE_BUILD_EXECUTOR")
    if named is None or root in _given:  # a worker sends no task on
        options = load(root)
        return options.executor if root not in _given and is_executor_allowed(options) else LOCAL
    if not re.fullmatch(EXECUTOR, named or LOCAL):
        raise RecipeError([f"PUNIE_BUILD_EXECUTOR: '{named}' is no executor - write it as {EXECUTOR_FORMS}"])
    return named or LOCAL


def executor_options(root: Path) -> ExecutorOptions:
    """Return the options of the executor of a project: those of its settings if the executor is theirs and the user
    allows it with them, else the defaults."""
    options = load(root)
    is_theirs = executor(root) == options.executor and _executor_name(options) in _allowed()
    return options.executor_options if is_theirs else ExecutorOptions()


def is_allowed(settings: Settings) -> bool:
    """Return whether the user allows the store of a project, with its options. Raises RecipeError for mistakes in the
    user's file."""
    if any(settings is each for each in _given.values()):
        return True
    is_from_user = settings.store == os.environ.get("PUNIE_BUILD_STORE") and not settings.store_options
    return is_from_user or _name(settings) in _allowed()


def is_executor_allowed(settings: Settings) -> bool:
    """Return whether the user allows the executor of a project, or sets another by the variable."""
    is_from_user = "PUNIE_BUILD_EXECUTOR" in os.environ
    return settings.executor == LOCAL or is_from_user or _executor_name(settings) in _allowed()


def not_allowed(root: Path) -> str | None:
    """Return a sentence about the store or the executor that the repository names and the user has not allowed, if
    there is one."""
    options = load(root)
    if options.executor != LOCAL and not is_executor_allowed(options):
        return (
            f"executor {options.executor}: not used, for this project names it and you have not allowed it"
            " - `punie-build store allow` allows it on this machine"
        )
    if options.store is None or is_allowed(options):
        return None
    return (
        f"shared store {without_password(options.store)}: not used, for this project names it and you have not allowed"
        " it - `punie-build store allow` allows it on this machine"
    )


def without_password(url: str) -> str:
    """Return a URL without the user and the password in it."""
    return re.sub(r"//[^/@]*@", "//", url)


def allow(settings: Settings) -> Path:
    """Write the store of a project, with its options, and its executor to the user's file of allowed ones. Return
    the file."""
    executors = [_executor_name(settings)] if settings.executor != LOCAL else []
    names = dict.fromkeys([*_allowed(), *([_name(settings)] if settings.store else []), *executors])
    lines = [f"    {msgspec.json.encode(name).decode()},\n" for name in names]  # a string of JSON is one of TOML
    atomic.replace_file(_allowed_file(), f"allowed = [\n{''.join(lines)}]\n".encode())
    return _allowed_file()


def _name(settings: Settings) -> str:
    """Return the URL of a store, and its options as JSON if it has any."""
    return _with_options(f"{settings.store}", settings.store_options)


def _executor_name(settings: Settings) -> str:
    """Return the URL of an executor, and its options as JSON if it has any."""
    options = settings.executor_options
    return _with_options(settings.executor, options if options != ExecutorOptions() else None)


def _with_options(url: str, options: object) -> str:
    return f"{url} {msgspec.json.encode(options, order='sorted').decode()}" if options else url


def _allowed_file() -> Path:
    return paths.user_config() / "stores.toml"


def _allowed() -> list[str]:
    path = _allowed_file()
    try:
        names = project_file.read_toml(path).get("allowed", [])
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise RecipeError([f"{path}: cannot be read ({error}) - correct it, or remove it"]) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError([f'{path}: allowed: not a list of texts - write it as allowed = ["s3://bucket/folder"]'])
    return names


@cache
def _read(root: Path, store: str | None) -> Settings:
    path = root / "pyproject.toml"
    table: dict[str, Any] = {}
    if os.path.lexists(path):
        try:
            tool = project_file.read_toml(path).get("tool", {})
        except ValueError as error:
            raise RecipeError([f"pyproject.toml: not TOML ({error}) - correct it"]) from None
        except OSError as error:
            raise RecipeError(
                [f"pyproject.toml: cannot be read ({error.strerror}) - correct it, or remove it"]
            ) from None
        table = tool.get("punie-build", {}) if isinstance(tool, dict) else {}
    if problems := list(mistakes(table, Settings, "pyproject.toml: tool.punie-build")):
        raise RecipeError(problems)
    settings = msgspec.convert(table, Settings)
    where = "pyproject.toml: tool.punie-build.store"
    if store is not None:
        settings, where = msgspec.structs.replace(settings, store=store or None), "PUNIE_BUILD_STORE"
    if settings.store is not None and not URL.fullmatch(settings.store):
        raise RecipeError(
            [f"{where}: '{settings.store}' is not a URL - write it as s3://bucket/folder or file:///folder"]
        )
    return settings
