"""The command `completion`: scripts for bash, zsh and fish that complete commands, options and names of artifacts.

A script asks `punie-build completion SHELL --line LINE` for each Tab. Where no candidate is known, shells complete
files.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from punie_build.cli.options import Command, Options
from punie_build.errors import PunieError
from punie_build.project import Project

ROLES = {"MODEL": "arm", "BASE": "base"}  # metavar of an argument -> role of the names that it takes
NAMED = {"pin": "base", "search": "search", "suite": "suite"}  # command -> role of its NAME
SCRIPTS = {
    "bash": """\
_punie_build() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$'\\n' word
    COMPREPLY=($(punie-build completion bash --line "$line" 2>/dev/null))
    word=${line##* }
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then  # bash completes what follows the colon
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
    fi
}
complete -o default -F _punie_build punie-build
""",
    "zsh": """\
#compdef punie-build
_punie_build() {
    local -a found
    found=("${(@f)$(punie-build completion zsh --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    if [[ -n $found ]]; then compadd -- $found; else _files; fi
}
compdef _punie_build punie-build
""",
    "fish": """\
function __punie_build
    set -l line (string join ' ' -- (commandline -opc) (commandline -ct))
    set -l found (punie-build completion fish --line "$line" 2>/dev/null)
    if test -n "$found"
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c punie-build -f -a '(__punie_build)'
""",
}


def completion(root: Path, options: Options) -> int:
    """Print a script that completes commands, options and names of artifacts in a shell."""
    if options.line is None:
        print(SCRIPTS[options.shell], end="")
        return 0
    _, *previous, current = options.line.split(" ")
    words = [word for word in previous if word]
    print("".join(f"{word}\n" for word in candidates(root, words, current)), end="")
    return 0


def candidates(root: Path, previous: list[str], current: str) -> list[str]:
    """Return the words that may follow the previous ones and begin with the current one."""
    from punie_build.cli import main

    parser, command = main.parser_of(previous), ""
    rest = list(previous)
    while (group := _commands(parser)) is not None:
        command = next((word for word in rest if word in group), "")
        if not command:
            is_mistyped = any(not word.startswith("-") for word in rest)
            return [] if is_mistyped else _matching(_words(root, parser, previous, current), current)
        parser = group[command]
        rest = rest[rest.index(command) + 1 :]
    return _matching(_words(root, parser, previous, current), current)


def _matching(names: Iterable[str], current: str) -> list[str]:
    return sorted({name for name in names if name.startswith(current)})


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser] | None:
    """Return the commands of a parser, or None if it has options and arguments only."""
    actions = parser._actions  # argparse has no other way to ask
    return next((dict(action.choices) for action in actions if isinstance(action, argparse._SubParsersAction)), None)


def _words(root: Path, parser: argparse.ArgumentParser, previous: list[str], current: str) -> Iterable[str]:
    """Return the values of the option before the current word, or else the commands, options or arguments."""
    actions = parser._actions
    before = previous[-1] if previous else ""
    option = next((action for action in actions if before in action.option_strings and action.nargs != 0), None)
    if option is not None:
        return _values(root, option, previous)
    if current.startswith("-"):
        return [name for action in actions for name in action.option_strings]
    group = _commands(parser)
    if group is not None:
        return group
    arguments = [action for action in actions if not action.option_strings]
    return [name for action in arguments for name in _values(root, action, previous)]


def _values(root: Path, action: argparse.Action, previous: list[str]) -> Iterator[str]:
    """Yield the values of an option or an argument, as far as they are known."""
    if action.choices is not None:
        yield from map(str, action.choices)
    metavar = str(action.metavar)
    role = NAMED.get(previous[0], "") if metavar == "NAME" and not action.option_strings else ROLES.get(metavar, "")
    if not role and metavar != "TARGET":
        return
    try:
        project = Project.load(root)
    except PunieError:  # the command itself reports the mistakes
        return
    if role:
        yield from (entry.name for entry in project.recipe.of_role(role))
    else:
        yield from (word for task in project.tasks for word in (task.label, task.name))


def _options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "shell",
        choices=SCRIPTS,
        help="bash: add `source <(punie-build completion bash)` to ~/.bashrc; zsh: the same to ~/.zshrc after "
        "compinit; fish: `punie-build completion fish > ~/.config/fish/completions/punie-build.fish`",
    )
    command.add_argument("--line", metavar="LINE", help="print the words that complete this command line instead")


COMMANDS: dict[str, Command] = {"completion": (completion, _options)}
