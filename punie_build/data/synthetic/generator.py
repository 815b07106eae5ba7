"""The synthetic set: editor conversations drawn from a seed, with a written share of what a stage should drop.

Four in five rows are good. The rest are there to be sifted: other languages, Python 2, a question without an answer.
Example number i is a function of (seed, i), so asking for more examples changes none of the first ones.

To add a way of asking: a line in `ASKS`. To add a kind of conversation: a function and its share in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from punie_build.data.synthetic import conversations
from punie_build.data.synthetic.conversations import conversation
from punie_build.data.synthetic.editor_tools import TOOLS

STEMS = """alpha batch cache chart client codec daemon editor engine export filter format graph helper image index input
kernel layout ledger loader logger mapper matrix merge metric model monitor node order output panel parser patch
plugin policy query queue reader record render report router runner sample schema score search sensor signal
socket sorter state stream table target timer token tracker update user vector viewer widget worker""".split()
FOLDERS = """src lib app tests docs scripts tools core web api data etc conf examples server client""".split()
ENDINGS = ["py", "md", "txt", "json", "toml", "yaml", "js", "css", "html", "sh", "cfg", "ini", "log", "csv"]
PROGRAMS = """pytest make npm cargo ruff git python pip node docker go mypy tox black uv""".split()
WORDS = """green river stone window copper winter silver garden morning harbor letter music paper bridge forest candle
market summer yellow island""".split()


def _path(r: Random) -> str:
    parts = [r.choice(FOLDERS) for _ in range(r.choice([0, 0, 1, 1, 2]))]
    return "/".join(
        [
            *parts,
            f"{r.choice(['', '', 'test_', 'my_'])}{r.choice(STEMS)}{r.choice(['', '', '', str(r.randint(1, 9))])}.{r.choice(ENDINGS)}",
        ]
    )


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
            f"{program} {r.choice(['test', 'build', 'run', 'check', 'install', 'status', 'clean', 'list', 'lint', 'start'])}",
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


# {p} a path, {c} some text, {x} a command, {t} a terminal
ASKS: dict[str, tuple[str, ...]] = {
    "read_file": ("Show {p}", "Open {p}", "What does {p} contain?", "Print {p} for me", "Have a look at {p}", "What is written in {p}?", "Can I see {p}?", "I need the contents of {p}", "Tell me what {p} says", "Review {p}", "Summarize {p}", "Find the bug in {p}", "What is inside {p}?", "Explain the code in {p}"),
    "write_file": ("Write {c} to {p}", "Create {p} with {c}", "Save {c} in {p}", "Make {p} say {c}", "Put {c} in the file {p}", "Overwrite {p} with {c}", "Let {p} contain {c}", "{p} should contain {c}", "New file {p} with the content {c}", "Store {c} as {p}"),
    "run_command": ("Run {x}", "Execute {x}", "Start {x}", "Do a {x}", "Launch {x} in a terminal", "Call {x} in the shell", "Use {x}", "Please try {x}", "Could you run {x}?", "Kick off {x}"),
    "get_terminal_output": ("What did {t} print?", "Show the output of terminal {t}", "Output of {t}?", "What does terminal {t} say so far?", "Look at the output of {t}", "Read what {t} printed", "Is there an error in terminal {t}?", "Print the log of {t}"),
    "release_terminal": ("Release {t}", "Close terminal {t}", "Terminal {t} is no longer needed", "Free {t}", "Clean up terminal {t}", "We are finished with {t}", "Give {t} back", "Dispose of terminal {t}"),
    "wait_for_terminal_exit": ("Wait for {t}", "Wait until terminal {t} ends", "Block until {t} is finished", "Let {t} complete", "Has {t} exited? Wait for it", "Stay until terminal {t} is done", "Give me the exit code of {t}", "When {t} ends, tell me how"),
    "kill_terminal": ("Kill {t}", "Stop terminal {t}", "Terminate {t}", "{t} hangs, kill it", "End the process in {t} now", "Interrupt {t}", "Abort what {t} is doing", "Terminal {t} does not respond, stop it"),
}  # fmt: skip
RESULTS = {
    "write_file": ("ok",),
    "release_terminal": ("ok", "closed"),
    "kill_terminal": ("ok", "stopped"),
    "wait_for_terminal_exit": ("exit code 0", "exit code 1"),
}
QUESTIONS = (
    ("What is a shell?", "A shell is a program that runs commands."),
    ("Good morning", "Good morning! What shall we do?"),
    ("What does git do?", "git keeps the history of a project."),
    ("What is an exit code?", "An exit code is a number a program returns: 0 means success."),
    ("Do you like Python?", "Python is a fine language to read and write."),
    ("What is a test for?", "A test shows that code does what it should."),
    ("Read it", "Which file shall I read?"),
    ("Run it", "Which command shall I run?"),
    ("Close it", "Which terminal shall I close?"),
    ("Thank you", "You are welcome."),
    ("What is a log file?", "A log file records what a program did."),
    ("How do I name a branch?", "Use a short name that says what the branch is for."),
    ("What is 2 + 2?", "2 + 2 = 4."),
    ("What is 9 - 5?", "9 - 5 = 4."),
    ("What is 7 + 1?", "7 + 1 = 8."),
    ("What is YAML?", "YAML is a text format for configuration."),
    ("What is a dictionary?", "A dictionary maps keys to values."),
    ("What is a tuple?", "A tuple is an ordered collection that cannot be changed."),
    ("Explain what a loop is", "A loop repeats a block of code."),
    ("What is a module in Python?", "A module is a file of Python code that can be imported."),
    ("Tell me what a decorator is", "A decorator is a function that wraps another function."),
    ("What is a function?", "A function is a named piece of code that can be called with arguments."),
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    ("Which color is the sky?", "The sky is blue."),
    ("Hello there", "Hello! How can I help?"),
    ("Bye", "Goodbye!"),
    ("How is your day?", "I am fine, thank you."),
    ("What are you?", "I am a coding agent."),
    ("What is a class?", "A class describes objects that share data and behaviour."),
    ("Explain what a string is", "A string is a sequence of characters."),
    ("What is a database?", "A database stores data so that it can be searched."),
)


def _toolbox(r: Random, *needed: str) -> tuple[str, ...]:
    names = list(TOOLS)
    if r.random() < 0.4:
        return tuple(names)
    chosen = set(needed) | set(r.sample(names, r.randint(1, 4)))
    return tuple(r.sample(sorted(chosen), len(chosen)))


def _request(r: Random, name: str) -> tuple[str, conversations.Call]:
    ask = r.choice(ASKS[name])
    path, text, command, terminal = _path(r), _text(r), _command(r), _terminal(r)
    said = (
        ask.replace("{p}", r.choice([path, path, path, f"`{path}`"]))
        .replace("{x}", r.choice([command, command, f"`{command}`"]))
        .replace("{t}", terminal)
        .replace("{c}", _quoted(r, text))
    )
    call = {
        "read_file": lambda: conversations.read_file(path), "write_file": lambda: conversations.write_file(path, text), "run_command": lambda: conversations.run_command(command),
        "get_terminal_output": lambda: conversations.get_terminal_output(terminal), "release_terminal": lambda: conversations.release_terminal(terminal),
        "wait_for_terminal_exit": lambda: conversations.wait_for_terminal_exit(terminal), "kill_terminal": lambda: conversations.kill_terminal(terminal),
    }[name]()  # fmt: skip
    return (said if r.random() < 0.8 else said[0].lower() + said[1:]), call


def _single(r: Random) -> dict[str, Any]:
    name = r.choice(list(TOOLS))
    said, call = _request(r, name)
    back = r.choice(RESULTS.get(name, ())) if name in RESULTS and r.random() < 0.5 else None
    answers = {"ok": "Done.", "closed": "It is closed.", "stopped": "It is stopped."}
    rest = (replace(call, result=back), answers.get(back, f"It ended with {back}.")) if back else (call,)
    return conversation(said, *rest, tools=_toolbox(r, name))


def _modify(r: Random) -> dict[str, Any]:
    path, old, new = _path(r), r.choice(STEMS), r.choice(WORDS)
    before = r.choice([f"name = {old}", f"{old}\n{r.choice(WORDS)}", f"import {old}"])
    after = before.replace(old, new)
    asked = r.choice(
        [f"Replace {old} by {new} in {path}", f"Change {old} to {new} in {path}", f"In {path}, {old} should be {new}"]
    )
    verify = (conversations.read_file(path, result=after),) if r.random() < 0.6 else ()
    return conversation(
        asked,
        conversations.read_file(path, result=before),
        conversations.write_file(path, after, result="ok"),
        *verify,
        f"{path} now says {new}.",
        tools=_toolbox(r, "read_file", "write_file"),
    )


def _run_and_look(r: Random) -> dict[str, Any]:
    command, terminal, printed = (
        _command(r),
        _terminal(r),
        r.choice(["ok", "3 passed", "1 failed", "error: not found", r.choice(WORDS)]),
    )
    turns: list[conversations.Turn] = [
        r.choice(
            [
                f"Run {command} and tell me what it prints",
                f"What does {command} print?",
                f"Execute {command}, then show the output",
            ]
        ),
        conversations.run_command(command, result=terminal),
    ]
    if r.random() < 0.5:
        turns.append(conversations.wait_for_terminal_exit(terminal, result="exit code 0"))
    turns += [conversations.get_terminal_output(terminal, result=printed), f"It printed: {printed}"]
    return conversation(*turns, tools=_toolbox(r, "run_command", "get_terminal_output", "wait_for_terminal_exit"))


def _words(r: Random) -> dict[str, Any]:
    return conversation(*r.choice(QUESTIONS), tools=_toolbox(r))


FOREIGN = (
    ("Bonjour, peux-tu m'expliquer ce que fait cette fonction ?", "Bien sûr, cette fonction calcule la somme de deux nombres entiers."), ("Wie kann ich diese Datei in meinem Projekt löschen?", "Du kannst die Datei im Verzeichnis auswählen und danach löschen."),
    ("¿Puedes mostrarme cómo se ejecutan las pruebas del proyecto?", "Claro, las pruebas se ejecutan desde la carpeta principal del proyecto."), ("このファイルの内容を教えてください。", "このファイルには設定が書かれています。"),
    ("Можешь объяснить, что делает эта программа?", "Эта программа читает файл и выводит строки на экран."), ("Puoi spiegarmi come funziona questo programma?", "Certo, il programma legge un elenco e stampa ogni elemento."),
)  # fmt: skip
OLD_PYTHON = (
    'print "{w}"',
    "for i in xrange({n}):\n    print i",
    "try:\n    {s}()\nexcept ValueError, error:\n    print error",
    'raise ValueError, "{w}"',
    'name = raw_input("{w}? ")',
    'import urllib2\nurllib2.urlopen("{w}")',
    'if {n} <> 3:\n    exec "{s}()"',
)


def _foreign(r: Random) -> dict[str, Any]:
    return conversation(*r.choice(FOREIGN), tools=(), category="words", system=None)


def _old_python(r: Random) -> dict[str, Any]:
    code = (
        r.choice(OLD_PYTHON)
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
    """What no template writes: there is nothing to learn from it."""
    said, _ = _request(r, r.choice(list(TOOLS)))
    return {"messages": [{"role": "user", "content": said}], "category": "words"}


KINDS: tuple[tuple[Callable[[Random], dict[str, Any]], float], ...] = (
    (_single, 54),
    (_modify, 10),
    (_run_and_look, 8),
    (_words, 12),
    (_foreign, 6),
    (_old_python, 6),
    (_unanswered, 4),
)


def sample(seed: int, index: int) -> dict[str, Any]:
    """Example number `index`, JSON-ready."""
    r = Random(f"{seed}:{index}")
    return r.choices([kind for kind, _ in KINDS], weights=[share for _, share in KINDS])[0](r)
