"""The hand-authored set: conversations with the seven editor tools, each written for what it teaches.

Single calls for each tool, several calls in a row, read -> modify -> verify, failures, and questions that need no tool.
To add one: a `talk(...)` in the tuple it belongs to.
"""

from __future__ import annotations

from typing import Any

from punie_build.editor_tools import get_terminal_output as output
from punie_build.editor_tools import kill_terminal as kill
from punie_build.editor_tools import read_file as read
from punie_build.editor_tools import release_terminal as release
from punie_build.editor_tools import run_command as run
from punie_build.editor_tools import talk
from punie_build.editor_tools import wait_for_terminal_exit as wait
from punie_build.editor_tools import write_file as write

READING = (
    talk(
        "What is in pyproject.toml?", (read("pyproject.toml"), '[project]\nname = "demo"'), "It names the project demo."
    ),
    talk("Show me src/app.py", (read("src/app.py"), "print('hello')"), "It prints hello."),
    talk(
        "Open the file docs/guide.md.",
        (read("docs/guide.md"), "# Guide\nStart here."),
        "It is the guide. It begins with: Start here.",
    ),
    talk(
        "Which version does package.json declare?",
        (read("package.json"), '{"version": "2.1.0"}'),
        "It declares version 2.1.0.",
    ),
    talk(
        "I'd like to look at tests/test_login.py",
        (read("tests/test_login.py"), "def test_login():\n    assert login('a')"),
        "It has one test, test_login.",
    ),
    talk("Does setup.cfg exist?", (read("setup.cfg"), "error: no such file"), "No, there is no setup.cfg."),
    talk(
        "Read the first 20 lines of server.log",
        (read("server.log", 1, 20), "started\nlistening on 8000"),
        "The server started and listens on 8000.",
    ),
    talk(
        "Show me 10 lines of main.py from line 40",
        (read("main.py", 40, 10), "def close():\n    pass"),
        "There is a function close that does nothing.",
    ),
    talk("Check .env for a DEBUG setting", (read(".env"), "DEBUG=1"), "DEBUG is set to 1."),
    talk(
        "What does the Makefile do?",
        (read("Makefile"), "test:\n\tpytest"),
        "It has one target, test, which runs pytest.",
    ),
)

WRITING = (
    talk("Create hello.txt with the text Hello", (write("hello.txt", "Hello"), "ok"), "I wrote hello.txt."),
    talk("Write 'print(1)' to one.py", (write("one.py", "print(1)"), "ok"), "one.py now prints 1."),
    talk("Put DEBUG=0 into .env", (write(".env", "DEBUG=0"), "ok"), "DEBUG is now 0 in .env."),
    talk(
        "Save the list apples, pears as fruit.csv", (write("fruit.csv", "apples, pears"), "ok"), "fruit.csv is saved."
    ),
    talk(
        "Make a file src/zero.py that defines zero() returning 0",
        (write("src/zero.py", "def zero():\n    return 0"), "ok"),
        "src/zero.py defines zero().",
    ),
    talk("Add a README.md that says # Demo", (write("README.md", "# Demo"), "ok"), "README.md is there."),
    talk("Empty the file errors.log", (write("errors.log", ""), "ok"), "errors.log is empty now."),
    talk(
        "Replace the contents of version.txt with 3.0", (write("version.txt", "3.0"), "ok"), "version.txt now says 3.0."
    ),
    talk("Store {} in config.json", (write("config.json", "{}"), "ok"), "config.json holds an empty object."),
    talk(
        "Write to /etc/hosts: 127.0.0.1 demo",
        (write("/etc/hosts", "127.0.0.1 demo"), "error: permission denied"),
        "I may not write /etc/hosts: permission denied.",
    ),
)

RUNNING = (
    talk("Run the tests", run("pytest")),
    talk("Run pytest -q", (run("pytest -q"), "term-1"), "pytest runs in terminal term-1."),
    talk("Execute ls -la", (run("ls -la"), "t2"), "It runs in terminal t2."),
    talk("Start the server with python server.py", (run("python server.py"), "t3"), "The server runs in terminal t3."),
    talk("Install the dependencies with pip install -r requirements.txt", run("pip install -r requirements.txt")),
    talk("What is the git status?", run("git status")),
    talk("Run npm test in the web folder", run("npm test", "web")),
    talk("Build the project with make", (run("make"), "term-9"), "make runs in terminal term-9."),
    talk("Format the code with ruff format", run("ruff format")),
    talk("Which branch am I on? Use git branch.", run("git branch")),
)

LOOKING = (
    talk("What has terminal t1 printed?", (output("t1"), "3 passed"), "All 3 tests passed."),
    talk("Show the output of term-4", (output("term-4"), "error: port 80 is in use"), "Port 80 is in use."),
    talk("Did the build in terminal b7 print any warning?", (output("b7"), "0 warnings"), "No, there are 0 warnings."),
    talk("Let me see what t12 says", output("t12")),
    talk("Any news from terminal srv-2?", output("srv-2")),
    talk("Check the log in terminal term-8", output("term-8")),
)

RELEASING = (
    talk("Close terminal t1", (release("t1"), "ok"), "Terminal t1 is closed."),
    talk("I am done with term-5", (release("term-5"), "ok"), "I closed term-5."),
    talk("We don't need terminal x3 any more", release("x3")),
    talk("Release term-20", release("term-20")),
    talk("Free the terminal job-1, it has finished", release("job-1")),
    talk("You can let go of t6 now", (release("t6"), "ok"), "t6 is released."),
)

WAITING = (
    talk("Wait for terminal t4 to finish", (wait("t4"), "exit code 0"), "It finished with exit code 0."),
    talk("Wait until term-2 is done", (wait("term-2"), "exit code 1"), "It failed with exit code 1."),
    talk("Let the build in b1 finish first", wait("b1")),
    talk("Did term-11 succeed? Wait for it.", (wait("term-11"), "exit code 0"), "Yes, it exited with 0."),
    talk("Hold on until the command in t30 exits", wait("t30")),
    talk("Tell me the exit code of job-6 when it ends", wait("job-6")),
)

KILLING = (
    talk("Kill terminal t5", (kill("t5"), "ok"), "I stopped t5."),
    talk("The server in srv-1 hangs, stop it", kill("srv-1")),
    talk("Stop the command in term-3 right now", (kill("term-3"), "ok"), "It is stopped."),
    talk("Abort t14, it runs forever", kill("t14")),
    talk("Cancel what runs in job-2", kill("job-2")),
    talk("term-7 is stuck. End it.", (kill("term-7"), "ok"), "term-7 is stopped."),
)

SEVERAL = (
    talk(
        "In config.py change port 80 to 8080",
        (read("config.py"), "port = 80"),
        (write("config.py", "port = 8080"), "ok"),
        (read("config.py"), "port = 8080"),
        "The port is 8080 now, I checked.",
    ),
    talk(
        "Rename the function foo to bar in util.py",
        (read("util.py"), "def foo():\n    return 1"),
        (write("util.py", "def bar():\n    return 1"), "ok"),
        (read("util.py"), "def bar():\n    return 1"),
        "foo is called bar now.",
    ),
    talk(
        "Set debug to false in app.toml",
        (read("app.toml"), "debug = true"),
        (write("app.toml", "debug = false"), "ok"),
        "debug is false now.",
    ),
    talk(
        "Fix the greeting in hi.py: it should say Hello",
        (read("hi.py"), "print('Helo')"),
        (write("hi.py", "print('Hello')"), "ok"),
        (run("python hi.py"), "t1"),
        (output("t1"), "Hello"),
        "It says Hello now.",
    ),
    talk(
        "Run the tests and tell me the result",
        (run("pytest"), "t8"),
        (wait("t8"), "exit code 0"),
        (output("t8"), "12 passed"),
        "All 12 tests passed.",
    ),
    talk(
        "Run make and show me what it prints", (run("make"), "term-2"), (output("term-2"), "done"), "It printed: done"
    ),
    talk(
        "Start python worker.py and wait for it",
        (run("python worker.py"), "t40"),
        (wait("t40"), "exit code 0"),
        "It finished with exit code 0.",
    ),
    talk(
        "Build it, then close the terminal",
        (run("make build"), "b3"),
        (wait("b3"), "exit code 0"),
        (release("b3"), "ok"),
        "Built, and the terminal is closed.",
    ),
    talk(
        "Compare a.txt and b.txt",
        ((read("a.txt"), read("b.txt")), ("one", "two")),
        "They differ: a.txt says one, b.txt says two.",
    ),
    talk(
        "Create one.txt with 1 and two.txt with 2",
        ((write("one.txt", "1"), write("two.txt", "2")), ("ok", "ok")),
        "Both files are there.",
    ),
    talk("Stop t1 and t2", ((kill("t1"), kill("t2")), ("ok", "ok")), "Both are stopped."),
    talk(
        "Copy notes.md to old.md",
        (read("notes.md"), "buy milk"),
        (write("old.md", "buy milk"), "ok"),
        "old.md is a copy of notes.md.",
    ),
    talk(
        "Run the linter. If it hangs, kill it.",
        (run("ruff check"), "t77"),
        (output("t77"), ""),
        (kill("t77"), "ok"),
        "It printed nothing, so I stopped it.",
    ),
    talk(
        "What is in a.py?",
        (read("a.py"), "x = 1"),
        "It sets x to 1.",
        "Make it 2",
        (write("a.py", "x = 2"), "ok"),
        "x is 2 now.",
    ),
    talk(
        "Start npm run dev",
        (run("npm run dev"), "t50"),
        "It runs in t50.",
        "And what does it print?",
        (output("t50"), "ready"),
        "It is ready.",
        "Stop it again",
        (kill("t50"), "ok"),
        "It is stopped.",
    ),
    talk(
        "Add a line 'done' to todo.txt",
        (read("todo.txt"), "wash car"),
        (write("todo.txt", "wash car\ndone"), "ok"),
        "I added the line.",
    ),
)

WORDS = (
    talk("What is a terminal?", "A terminal is a window in which commands run."),
    talk("Hello!", "Hello! How can I help?"),
    talk("What is 3 + 4?", "3 + 4 = 7."),
    talk("Explain what a file is", "A file is named data on a disk."),
    talk("Thanks, that was all", "You are welcome."),
    talk("Should I commit often?", "Yes, small commits are easier to review."),
    talk("What does pytest do?", "pytest finds and runs the tests of a project."),
    talk("Write a file", "Which file, and what should it contain?"),
    talk("Kill it", "Which terminal shall I stop?"),
    talk("What can you do here?", "I can read and write files, and run commands in terminals."),
    talk("What is a path?", "A path says where a file is."),
    talk("Is Python compiled?", "Python is compiled to bytecode, which an interpreter runs."),
)


def conversations() -> tuple[dict[str, Any], ...]:
    """All of them, JSON-ready."""
    return READING + WRITING + RUNNING + LOOKING + RELEASING + WAITING + KILLING + SEVERAL + WORDS
