"""Backend: what doit remembers between runs. The locks remember success; only the names of `doit ignore` are stored
here.

doit finds it through the entry point `doit.BACKEND`. No content here can go stale, be torn by a kill or be locked by
another build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from punie_build.doit_plugin import startup
from punie_build.doit_plugin.reporter import Reporter
from punie_build.storage import atomic, paths, project_file

IGNORE = "ignore:"
startup.begin()


class LockBackend:
    """The interface of doit's `DbmDB`: `set`, `get`, `in_`, `remove`, `remove_all`, `dump`."""

    desc = "the locks beside the targets"

    def __init__(self, name: str, codec: Any = None, module_name: str | None = None) -> None:
        self.name, self.path = name, Path(paths.STATE, "ignored.json")
        self.values: dict[str, dict[str, Any]] = {}
        try:
            content = json.loads(project_file.read(self.path))
        except (OSError, ValueError, RecursionError):
            content = []
        self.ignored: list[str] = content if isinstance(content, list) else []

    def set(self, task: str, name: str, value: Any) -> None:
        if name == IGNORE:
            self._ignore([*self.ignored, task])
        else:
            self.values.setdefault(task, {})[name] = value

    def get(self, task: str, name: str) -> Any:
        if name == IGNORE:
            return task in self.ignored or None
        return self.values.get(task, {}).get(name)

    def in_(self, task: str) -> bool:
        return task in self.values

    def remove(self, task: str) -> None:
        """Forget a task. doit calls this when a task failed, which changes no file, and for `doit forget`."""
        self.values.pop(task, None)
        if not Reporter.running:
            self._ignore([other for other in self.ignored if other != task])
            if target := targets.get(task):
                target.forget()

    def remove_all(self) -> None:
        for task in [*targets, *self.ignored]:
            self.remove(task)

    def dump(self) -> None:
        """Do nothing: every change is written at once."""

    def _ignore(self, tasks: list[str]) -> None:
        if tasks != self.ignored:
            self.ignored = tasks
            atomic.replace_file(self.path, (json.dumps(sorted(set(tasks))) + "\n").encode())


targets: dict[str, Any] = {}  # label -> what can be forgotten; `doit_plugin.tasks` fills it
