"""Prompts, variables and templates of promptfoo, and the files that a configuration names."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.data.example import Message
from punie_build.errors import DataError
from punie_build.evaluation.importers import templates

FILE = "file://"
MAX_COMBINATIONS = 1000  # of the listed variables of a test
_FILE_NAME = re.compile(r"[\w./*-]+\.(txt|md|json|jsonl|yaml|yml|csv|py|js|ts|mjs|cjs|j2)")


class Prompt(Struct, frozen=True):
    """A template of one user message, or of messages (role, text)."""

    text: str
    messages: tuple[tuple[str, str], ...] = ()

    def render(self, values: dict[str, Any], prefix: str, suffix: str) -> dict[str, Any]:
        """Return the fields of a case. Raise ValueError for templates that are not understood."""
        if not self.messages:
            return {"prompt": prefix + str(fill(self.text, values)) + suffix}
        if prefix or suffix:
            raise ValueError("a prefix or suffix of a chat prompt is not imported")
        messages = [(role, str(fill(text, values))) for role, text in self.messages]
        system = {"system": messages.pop(0)[1]} if messages[0][0] == "system" else {}
        if [role for role, _ in messages] == ["user"]:
            return {"prompt": messages[0][1], **system}
        return {
            "messages": msgspec.convert([{"role": r, "content": t} for r, t in messages], tuple[Message, ...]),
            **system,
        }


def prompts(value: Any, folder: Path, name: str) -> list[Prompt]:
    """Return the prompts of a configuration. Raise DataError for those that are not read."""
    result = []
    for item in value if isinstance(value, list) else [value]:
        text = item
        if isinstance(item, dict):
            text = item.get("raw") or item.get("id") or item.get("label")
        if not isinstance(text, str):
            raise DataError(f"{name}: the prompt {str(item)[:60]} is not read - write its text")
        if text.startswith(FILE) or _FILE_NAME.fullmatch(text):
            path = _path(folder, text, name)
            if path.suffix not in (".txt", ".md", ".json"):
                raise DataError(f"{name}: the prompt {text} is not read - write its text into the file")
            content = path.read_text(encoding="utf-8")
            result += [
                _prompt(part, name) for part in re.split(r"^---\s*$", content, flags=re.MULTILINE) if part.strip()
            ]
        else:
            result.append(_prompt(text, name))
    return result


def _prompt(text: str, name: str) -> Prompt:
    if not text.lstrip().startswith("[") or '"role"' not in text:
        return Prompt(text.strip("\n"))
    try:
        messages = json.loads(text)
        pairs = tuple((message["role"], message["content"]) for message in messages)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{name}: the chat prompt {text[:40]!r} is not read: {error}") from None
    roles = {"system", "user", "assistant"}
    if not pairs or not all(role in roles and isinstance(content, str) for role, content in pairs):
        raise DataError(f"{name}: the chat prompt {text[:40]!r} is not read - use roles and texts only")
    return Prompt("", pairs)


def read_value(folder: Path, text: str, name: str) -> Any:
    """Return the content of a YAML, JSON or text file that a configuration names. Raise DataError for other files."""
    import yaml

    path = _path(folder, text, name)
    if path.suffix == ".txt":
        try:
            return path.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name}: not UTF-8: {error} - convert it") from None
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise DataError(f"{name}: {text} is not read - convert it to YAML or JSON")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path.name}: not YAML: {' '.join(str(error).split())}") from None


def _path(folder: Path, text: str, name: str) -> Path:
    path = folder / text.removeprefix(FILE)
    if not path.is_file():
        raise DataError(f"{name}: no file {text} beside it - create it, or write its content into the configuration")
    return path


def variables(value: Any, folder: Path) -> dict[str, Any]:
    """Return variables, with the text of files. Raise ValueError for those that are not read."""
    try:
        value = read_value(folder, value, "vars") if isinstance(value, str) else value
        table = {} if value is None else value
        if not isinstance(table, dict):
            raise ValueError(f"vars {str(value)[:60]} is not a table of variables")
        result = dict[str, Any]()
        for key, item in table.items():
            if isinstance(item, str) and item.startswith(FILE):
                path = _path(folder, item, "vars")
                if path.suffix not in (".txt", ".md"):
                    raise ValueError(f"the variable {key} is in {item}, which is not read")
                result[str(key)] = path.read_text(encoding="utf-8").strip()
            else:
                result[str(key)] = item
    except (DataError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    return result


def combinations(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each combination of the values of listed variables. Raise ValueError for too many."""
    lists = [value if isinstance(value, list) else [value] for value in table.values()]
    count = 1
    for values in lists:
        count *= len(values)
    if count > MAX_COMBINATIONS or not count:
        raise ValueError(f"its variables have {count} combinations - use 1 to {MAX_COMBINATIONS}")
    return [dict(zip(table, values, strict=True)) for values in product(*lists)]


def fill(value: Any, values: dict[str, Any]) -> Any:
    """Return a value with the variables in its texts, also variables in variables. Raise ValueError for templates with
    filters, blocks, unknown variables or variables that are no text."""
    if isinstance(value, dict):
        return {key: fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values) for item in value]
    if not isinstance(value, str):
        return value
    return templates.render_all(value, values)
