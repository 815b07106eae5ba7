"""The checks of one dataset with one base, as a target of the build."""

from __future__ import annotations

from typing import Any

from msgspec import field

from punie_build.schema.spec import Spec, arguments_name


class Preflight(Spec, frozen=True, kw_only=True):
    """The checks of the rows of a dataset for trainings on this base. All adapters of both share them.

    `pairs`: the rows are to have two answers.
    """

    base: str
    data: str
    chat_template_args: dict[str, Any] = field(default_factory=dict)
    pairs: bool = False
    description: str = ""

    @property
    def name(self) -> str:
        arguments = f"-{arguments_name(self.chat_template_args)}" if self.chat_template_args else ""
        return f"{self.data}@{self.base}{arguments}{'-pairs' if self.pairs else ''}"
