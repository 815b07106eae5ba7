"""Generate synthetic editor conversations from a seed, with a fixed share of rows that a stage should drop.

Four in five rows are good. The others are there to be filtered: other languages, Python 2, a question without an
answer. Example number i is a function of (seed, i), so a larger number of examples does not change the first ones.

To add a prompt: see `vocabulary`. To add a kind of conversation: a function and its weight in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from punie_build.data.synthetic.conversations import (
    CallWithResult,
    TurnLike,
    call,
    conversation,
    get_terminal_output,
    read_file,
    run_command,
    wait_for_terminal_exit,
    write_file,
)
from punie_build.data.synthetic.editor_tools import TOOLS
from punie_build.data.synthetic.vocabulary import (
    ENDINGS,
    FOLDERS,
    FOREIGN_LANGUAGE,
    PROGRAMS,
    PROMPTS,
    PYTHON2_CODE,
    QUESTIONS,
    RESULTS,
    STEMS,
    WORDS,
)

COMMANDS = ["test", "build", "run", "check", "install", "status", "clean", "list", "lint", "start"]


def _path(r: Random) -> str:
    parts = [r.choice(FOLDERS) for _ in range(r.choice([0, 0, 1, 1, 2]))]
    stem = f"{r.choice(['', '', 'test_', 'my_'])}{r.choice(STEMS)}{r.choice(['', '', '', str(r.randint(1, 9))])}"
    return "/".join([*parts, f"{stem}.{r.choice(ENDINGS)}"])


def _text(r: Random) -> str:
    a, n = r.choice(STEMS), r.randint(0, 99)
    return r.choice(
        [
            f"{a} = {n}",
            f"print('{r.choice(WORDS)}')",
            f"def {a}():\n    return {n}",
            f"import {a}",
            f"# {a}",
            f"{a}: {r.choice(WORDS)}",
            " ".join(r.sample(WORDS, r.randint(1, 3))),
            f"{a},{n}",
            f"{a.upper()}={n}",
        ]
    )


def _command(r: Random) -> str:
    program = r.choice(PROGRAMS)
    return r.choice(
        [
            f"{program} {r.choice(COMMANDS)}",
            f"{program} {_path(r)}",
            program,
            f"{program} --version",
            f"{program} -v {r.choice(FOLDERS)}",
            f"cat {_path(r)}",
            f"ls {r.choice(FOLDERS)}",
            f"grep {r.choice(WORDS)} {_path(r)}",
            f"echo {r.choice(WORDS)}",
            f"sleep {r.randint(1, 90)}",
        ]
    )


def _terminal(r: Random) -> str:
    return r.choice(
        [
            f"t{r.randint(1, 99)}",
            f"term-{r.randint(1, 99)}",
            f"terminal-{r.randint(1, 20)}",
            f"{r.choice(STEMS)}-{r.randint(1, 9)}",
            f"job{r.randint(1, 60)}",
            f"sh_{r.randint(1, 30)}",
            f"{r.randint(1, 400)}",
        ]
    )


def _quoted(r: Random, text: str) -> str:
    if "\n" in text:
        return f"\n```\n{text}\n```"
    return r.choice([text, text, f"`{text}`", f'"{text}"'])


def _toolbox(r: Random, *needed: str) -> tuple[str, ...]:
    names = list(TOOLS)
    if r.random() < 0.4:
        return tuple(names)
    chosen = set(needed) | set(r.sample(names, r.randint(1, 4)))
    return tuple(r.sample(sorted(chosen), len(chosen)))


def _request(r: Random, name: str) -> tuple[str, CallWithResult]:
    """Return a prompt for a tool and the call that answers it."""
    template = r.choice(PROMPTS[name])
    path, text, command, terminal = _path(r), _text(r), _command(r), _terminal(r)
    prompt = (
        template.replace("{p}", r.choice([path, path, path, f"`{path}`"]))
        .replace("{x}", r.choice([command, command, f"`{command}`"]))
        .replace("{t}", terminal)
        .replace("{c}", _quoted(r, text))
    )
    arguments = {
        "read_file": {"path": path},
        "write_file": {"path": path, "content": text},
        "run_command": {"command": command},
    }.get(name, {"terminal_id": terminal})
    return (prompt if r.random() < 0.8 else prompt[0].lower() + prompt[1:]), call(name, arguments)


def _single(r: Random) -> dict[str, Any]:
    name = r.choice(list(TOOLS))
    prompt, request = _request(r, name)
    result = r.choice(RESULTS.get(name, ())) if name in RESULTS and r.random() < 0.5 else None
    answers = {"ok": "Done.", "closed": "It is closed.", "stopped": "It is stopped."}
    turns = (replace(request, result=result), answers.get(result, f"It ended with {result}.")) if result else (request,)
    return conversation(prompt, *turns, tools=_toolbox(r, name))


def _modify(r: Random) -> dict[str, Any]:
    path, old, new = _path(r), r.choice(STEMS), r.choice(WORDS)
    before = r.choice([f"name = {old}", f"{old}\n{r.choice(WORDS)}", f"import {old}"])
    after = before.replace(old, new)
    prompt = r.choice(
        [f"Replace {old} by {new} in {path}", f"Change {old} to {new} in {path}", f"In {path}, {old} should be {new}"]
    )
    verify = (read_file(path, result=after),) if r.random() < 0.6 else ()
    return conversation(
        prompt,
        read_file(path, result=before),
        write_file(path, after, result="ok"),
        *verify,
        f"{path} now says {new}.",
        tools=_toolbox(r, "read_file", "write_file"),
    )


def _run_and_read_output(r: Random) -> dict[str, Any]:
    command, terminal, printed = (
        _command(r),
        _terminal(r),
        r.choice(["ok", "3 passed", "1 failed", "error: not found", r.choice(WORDS)]),
    )
    turns: list[TurnLike] = [
        r.choice(
            [
                f"Run {command} and tell me what it prints",
                f"What does {command} print?",
                f"Execute {command}, then show the output",
            ]
        ),
        run_command(command, result=terminal),
    ]
    if r.random() < 0.5:
        turns.append(wait_for_terminal_exit(terminal, result="exit code 0"))
    turns += [get_terminal_output(terminal, result=printed), f"It printed: {printed}"]
    return conversation(*turns, tools=_toolbox(r, "run_command", "get_terminal_output", "wait_for_terminal_exit"))


def _no_call(r: Random) -> dict[str, Any]:
    return conversation(*r.choice(QUESTIONS), tools=_toolbox(r))


def _foreign_language(r: Random) -> dict[str, Any]:
    return conversation(*r.choice(FOREIGN_LANGUAGE), tools=(), category="words", system=None)


def _python2(r: Random) -> dict[str, Any]:
    code = (
        r.choice(PYTHON2_CODE)
        .replace("{w}", r.choice(WORDS))
        .replace("{n}", str(r.randint(1, 99)))
        .replace("{s}", r.choice(STEMS))
    )
    return conversation(
        f"Show me an example with {r.choice(WORDS)} in Python",
        f"```python\n{code}\n```",
        tools=(),
        category="python",
        system=None,
    )


def _unanswered(r: Random) -> dict[str, Any]:
    """Return a question without an answer, which `conversation` would not build."""
    prompt, _ = _request(r, r.choice(list(TOOLS)))
    return {"messages": [{"role": "user", "content": prompt}], "category": "words"}


KINDS: tuple[tuple[Callable[[Random], dict[str, Any]], float], ...] = (
    (_single, 54),
    (_modify, 10),
    (_run_and_read_output, 8),
    (_no_call, 12),
    (_foreign_language, 6),
    (_python2, 6),
    (_unanswered, 4),
)


def sample(seed: int, index: int) -> dict[str, Any]:
    """Return example number `index` as a JSON-ready row."""
    r = Random(f"{seed}:{index}")
    return r.choices([kind for kind, _ in KINDS], weights=[weight for _, weight in KINDS])[0](r)
