"""Defaults of a project: `[defaults.KIND]` in any recipe file stands for the fields that tables of the kind leave out.

A table inside a table is completed in the same way, unless its tag is another one. Entries have the merged values, so
a change of a default makes the artifacts stale that it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from punie_build.engine.kind import ArtifactKind
from punie_build.errors import did_you_mean
from punie_build.schema.validation import mistakes

TABLE = "defaults"
Table = dict[str, Any]


class Defaults:
    """The defaults of all files. A field that two files set is a mistake."""

    def __init__(self, kinds: Mapping[str, ArtifactKind]) -> None:
        self.kinds = kinds
        self.tables: dict[str, Table] = {}
        self.origins: dict[tuple[str, str], str] = {}

    def read(self, value: Any, label: str) -> Iterator[str]:
        """Add the table `defaults` of a file, and yield the mistakes in it."""
        for kind, table in value.items() if isinstance(value, dict) else ():
            where = f"{label}: {TABLE}.{kind}"
            if kind not in self.kinds:
                yield f"{where}: unknown kind of artifact{did_you_mean(kind, self.kinds)}"
                continue
            if not isinstance(table, dict):
                yield f"{where}: not a table - write [{TABLE}.{kind}]"
                continue
            mistaken = [line for line in mistakes(table, self.kinds[kind].spec, where) if not line.endswith(MISSING)]
            yield from mistaken
            for field in table:
                if (first := self.origins.setdefault((kind, field), label)) != label:
                    yield f"{where}.{field}: {first} sets it too - keep one"
            if not mistaken:
                self.tables[kind] = self.tables.get(kind, {}) | table

    def complete(self, kind: ArtifactKind, values: Table) -> Table:
        """Return a table of a kind with the defaults of the project in the fields that it leaves out."""
        defaults = self.tables.get(kind.name)
        if not defaults or kind.spec is None:
            return values
        known = {field.encode_name for field in msgspec.structs.fields(kind.spec)}
        return merged({field: value for field, value in defaults.items() if field in known}, values)


MISSING = "missing - it has no default"


def merged(defaults: Table, values: Table) -> Table:
    """Return a table completed by another one, table by table. Tables with different tags are not merged."""
    result = dict(defaults)
    for field, value in values.items():
        default = defaults.get(field)
        is_same = isinstance(value, dict) and isinstance(default, dict) and value.get("type") == default.get("type")
        result[field] = merged(default, value) if is_same and default is not None else value
    return result
