"""The command `doit dumpdb`, found through the entry point `doit.COMMAND`: doit's own ends with a traceback where no
database is, as in every project of punie-build, whose locks tell what is built."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dbm import whichdb
from typing import Any

from doit import cmd_dumpdb


class DumpDB(cmd_dumpdb.DumpDB):  # type: ignore[misc]
    """Print the database of doit, in a project that has one. Returns 2, with a sentence, in any other."""

    name = "dumpdb"

    def execute(self, opt_values: Mapping[str, Any], pos_args: Sequence[str]) -> Any:
        if whichdb(opt_values["dep_file"]):
            return super().execute(opt_values, pos_args)
        print(
            f"doit dumpdb: {opt_values['dep_file']}: no database of doit - the locks beside the targets tell what is "
            "built, and `punie-build list` shows it",
            file=sys.stderr,
        )
        return 2
