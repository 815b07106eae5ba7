"""Print the rows of the stories: `python stories/rows.py calls`, and so on. The same seed gives the same rows.

calls        one call of an editor tool each
words        questions that no tool answers
mixed        both
noisy        calls among rows that should be filtered out: other languages, Python 2, empty and cut answers
start        forty calls, to begin with
pairs        a wanted and an unwanted answer each
cases        the suite of the stories, `stories/cases.jsonl`: wordings and names that no row has
practice     another suite, `stories/practice.jsonl`, whose right answers are trained
manners      cases for the pairs, `stories/manners.jsonl`
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

from punie_build import conversations as make

Row = dict[str, Any]
TRAINED = ("parse", "table", "users", "report", "index", "shop", "mail", "login", "cache", "graph")
HELD_OUT = ("invoice", "router", "photo", "ledger", "weather", "garden")
ENDINGS = ("py", "md", "txt", "toml", "json")
TEXTS = ("done", "x = 1", "open at nine", "two apples", "draft", "yes", "level 3")
COMMANDS = ("pytest", "ls -la", "git status", "make build", "npm test", "cargo check", "df -h", "ruff check")
HELD_OUT_COMMANDS = ("git diff", "make test", "uname -a", "npm run lint", "cargo fmt", "du -sh")
# tool -> (wordings of rows, wordings of cases); {a} and {b} are the arguments
WORDINGS = {
    "read_file": (
        ("Show me {a}", "Open {a}", "What is in {a}?", "Read {a}, please", "Let me see {a}", "Print the file {a}"),
        ("Display {a}", "I want to read {a}", "What does {a} contain?"),
    ),
    "write_file": (
        ("Write {b} to {a}", "Save {b} as {a}", "Create {a} with the text {b}", "Put {b} into {a}", "Let {a} say {b}"),
        ("Store {b} in {a}", "Make a file {a} that says {b}", "Please write {b} into {a}"),
    ),
    "run_command": (
        ("Run {a}", "Please run {a}", "Execute {a}", "Start {a} in a terminal", "Run the command {a}", "Try {a}"),
        ("Launch {a}", "Could you run {a}?", "Use a terminal to run {a}"),
    ),
    "get_terminal_output": (
        ("What has {a} printed?", "Show the output of {a}", "Print the log of {a}", "What does terminal {a} say?"),
        ("Get me the output of {a}", "What did {a} print so far?", "Look at the output of terminal {a}"),
    ),
    "wait_for_terminal_exit": (
        ("Wait for {a}", "Wait until {a} has ended", "Wait for terminal {a} to finish", "Wait till {a} is done"),
        ("Please wait until {a} exits", "Wait for the end of {a}", "Do wait for terminal {a}"),
    ),
    "release_terminal": (
        ("Release {a}", "Close terminal {a}", "I no longer need {a}", "Terminal {a} can be closed", "Free {a}"),
        ("Please release {a}", "We need {a} no longer, close it", "You may close {a}"),
    ),
    "kill_terminal": (
        ("Kill {a}", "Stop terminal {a} now", "{a} hangs, kill it", "Terminate {a}", "End the process in {a}"),
        ("Please kill {a}", "Kill the process in {a}", "{a} runs forever, stop it"),
    ),
}
QUESTIONS = {
    "What is a shell?": "A program that runs commands.",
    "Good morning!": "Good morning! What can I do for you?",
    "What is 3 + 4?": "3 + 4 is 7.",
    "What is a function?": "A named piece of code that can be called.",
    "Which language is this project written in?": "I cannot tell without looking at its files.",
    "What is a test?": "Code that checks that other code does what it should.",
    "Thanks!": "You are welcome.",
    "What is a variable in Python?": "A name for a value.",
    "How does a loop work?": "It runs the same code again until a condition ends it.",
    "What is 10 - 6?": "10 - 6 is 4.",
    "Who wrote you?": "I am a small assistant for an editor.",
    "What is a branch in git?": "A line of work with commits of its own.",
}
HELD_OUT_QUESTIONS = (
    "What is a compiler?",
    "Good evening!",
    "What is 6 + 2?",
    "What is a class in Python?",
    "Thank you very much",
    "What is a commit?",
    "How are you?",
    "What is an exception?",
    "Explain what recursion is",
    "What is a list?",
)
GERMAN = "Bitte zeige mir jetzt den vollständigen Inhalt der Datei {a}, damit ich sie in Ruhe lesen kann"
PYTHON_2 = "```python\nprint 'reading {a}'\nraw_input('which file? ')\n```"


def arguments(tool: str, names: tuple[str, ...], commands: tuple[str, ...], pick: random.Random) -> dict[str, str]:
    """Return the arguments of a call of a tool, in the order of {a} and {b}."""
    if tool == "run_command":
        return {"command": pick.choice(commands)}
    if tool in ("read_file", "write_file"):
        path = f"{pick.choice(('', 'src/', 'docs/'))}{pick.choice(names)}.{pick.choice(ENDINGS)}"
        return {"path": path} | ({"content": pick.choice(TEXTS)} if tool == "write_file" else {})
    return {"terminal_id": f"{pick.choice(('t', 'term-', 'job'))}{pick.randrange(2, 100)}"}


def asked(wording: str, values: dict[str, str]) -> str:
    return wording.format(**dict(zip("ab", values.values(), strict=False)))


def call_row(pick: random.Random, tools: tuple[str, ...] = tuple(WORDINGS)) -> Row:
    tool = pick.choice(tools)
    values = arguments(tool, TRAINED, COMMANDS, pick)
    return make.steps(asked(pick.choice(WORDINGS[tool][0]), values), make.call(tool, values), category=tool)


def calls(count: int = 320, tools: tuple[str, ...] = tuple(WORDINGS)) -> Iterator[Row]:
    pick = random.Random(1)
    yield from (call_row(pick, tools) for _ in range(count))


def words() -> Iterator[Row]:
    yield from (make.decline(question, answer, category="words") for question, answer in QUESTIONS.items())


def mixed() -> Iterator[Row]:
    yield from (*calls(), *words(), *words(), *words())


def noisy() -> Iterator[Row]:
    """Yield 240 rows: one in four is right; the others answer in another language, in Python 2, or badly."""
    pick = random.Random(2)
    for number in range(240):
        values = arguments("read_file", TRAINED, COMMANDS, pick)
        path = values["path"]
        if number % 4 == 1:
            yield make.decline(f"{asked(GERMAN, values)} ({number})", f"Hier ist der Inhalt der Datei {path}.")
        elif number % 4 == 2:
            yield make.decline(f"Show me {path} ({number})", PYTHON_2.format(a=path))
        elif number % 4 == 3:
            yield make.decline(f"Open {path} ({number})", "TODO: " + "la " * 30)
        else:
            yield call_row(pick)


def start() -> Iterator[Row]:
    yield from calls(40)


def pairs() -> Iterator[Row]:
    """Yield pairs: a polite answer is wanted, the plain one that nano gives is not."""
    for name in TRAINED:
        for verb in ("do", "print", "return", "need", "read", "change"):
            path = f"{name}_{verb}.py"
            yield {
                "prompt": f"What does {path} do?",
                "chosen": f"Sorry, {path} is a great question!",
                "rejected": f"I have not read {path} yet.",
            }


def settings(description: str) -> Row:
    """Return the first line of a suite, with the system prompt of the rows."""
    system = make.decline("?", "!")["messages"][0]["content"]
    return {"description": description, "system": system, "tools": "editor"}


def case(tool: str, number: int, prompt: str, values: dict[str, str], split: str) -> Row:
    checks = [{"type": "calls", "calls": [{"name": tool, "arguments": values}]}]
    return {"id": f"{tool}-{number + 1:02}", "category": tool, "split": split, "prompt": prompt, "checks": checks}


def cases() -> Iterator[Row]:
    """Yield the lines of the suite: twelve calls of each tool, three of them to select by, and ten questions."""
    yield settings("one call of an editor tool, or words")
    pick = random.Random(3)
    for tool, (_, wordings) in WORDINGS.items():
        for number in range(12):
            values = arguments(tool, HELD_OUT, HELD_OUT_COMMANDS, pick)
            split = "select" if number in (0, 4, 8) else "confirm"
            yield case(tool, number, asked(wordings[number % 3], values), values, split)
    for number, question in enumerate(HELD_OUT_QUESTIONS):
        split = "select" if number < 3 else "confirm"
        line = {"id": f"words-{number + 1:02}", "category": "words", "split": split, "prompt": question}
        yield line | {"checks": [{"type": "no-call"}]}


def practice() -> Iterator[Row]:
    """Yield twelve calls of each tool, in the wordings of the rows."""
    yield settings("calls to practice")
    pick = random.Random(4)
    for tool, (wordings, _) in WORDINGS.items():
        for number in range(12):
            values = arguments(tool, TRAINED, COMMANDS, pick)
            yield case(tool, number, asked(wordings[number % len(wordings)], values), values, "select")


def manners() -> Iterator[Row]:
    """Yield the lines of a suite without tools: does an answer begin as the wanted ones of the pairs do?"""
    yield {"description": "is the answer the polite one?"}
    for name in HELD_OUT:
        for verb in ("parse", "write", "load", "sort", "send"):
            yield {
                "id": f"{name}-{verb}",
                "split": "confirm",
                "prompt": f"What does {name}_{verb}.py do?",
                "checks": [{"type": "contains", "words": ["Sorry", f"{name}_{verb}.py"]}],
                "oracle": {"content": f"Sorry, {name}_{verb}.py is a great question!"},
            }


KINDS: dict[str, Callable[[], Iterator[Row]]] = {
    "calls": calls,
    "words": words,
    "mixed": mixed,
    "noisy": noisy,
    "start": start,
    "pairs": pairs,
    "cases": cases,
    "practice": practice,
    "manners": manners,
}

if __name__ == "__main__":
    for row in KINDS[sys.argv[1]]():
        print(json.dumps(row, ensure_ascii=False))
