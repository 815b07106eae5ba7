"""Options of doit, checked before doit parses them: its own message on an unknown one shows objects of Python."""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Sequence

from doit.cmd_base import DodoTaskLoader
from doit.cmdparse import CmdOption, CmdParse
from doit.doit_cmd import DoitMain

HELP = ("-h", "--help")


def check(words: Sequence[str]) -> None:
    """End this process on an option that doit does not know, with a sentence; on `-h`, show the help of doit."""
    if words[:1] == ["--version"]:
        return
    commands = {command.get_name(): command for command in DoitMain.DOIT_CMDS}
    name = words[0] if words and words[0] in commands else "run"
    try:
        getopt.getopt(words[words[:1] == [name] :], *_known(commands[name]))
    except getopt.GetoptError as error:
        if {"-h", "--help"} & {f"-{error.opt}", f"--{error.opt}"}:
            topic = [] if words[0] in HELP else [name]
            os.execv(sys.executable, [sys.executable, "-m", "doit", "help", *topic])  # noqa: S606 - this interpreter
        print(f"doit {name}: {error} - `doit help {name}` lists the options", file=sys.stderr)
        sys.exit(2)


def _known(command: type) -> tuple[str, list[str]]:
    """Return the short and the long options of a command, as `getopt` takes them."""
    options = (DodoTaskLoader.cmd_options, getattr(command, "base_options", ()), getattr(command, "cmd_options", ()))
    parser = CmdParse([CmdOption(option) for group in options for option in group])
    return parser.get_short(), parser.get_long()
