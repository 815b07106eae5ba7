"""The checks of one dataset with one base, as a target of the build."""

from __future__ import annotations

from punie_build.schema.spec import Spec


class Preflight(Spec, frozen=True, kw_only=True):
    """The checks of the rows of a dataset for trainings on this base. All adapters of both share them."""

    base: str
    data: str
    description: str = ""

    @property
    def name(self) -> str:
        return f"{self.data}@{self.base}"
