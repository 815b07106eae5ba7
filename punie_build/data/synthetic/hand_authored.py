"""Hand-authored conversations with the seven editor tools.

Single calls of each tool, several calls in a row, read -> modify -> verify, failures, and questions that need no
tool. To add one: a `conversation(...)` in the tuple it belongs to.
"""

from __future__ import annotations

from typing import Any

from punie_build.data.synthetic.conversations import conversation
from punie_build.data.synthetic.conversations import get_terminal_output as output
from punie_build.data.synthetic.conversations import kill_terminal as kill
from punie_build.data.synthetic.conversations import read_file as read
from punie_build.data.synthetic.conversations import release_terminal as release
from punie_build.data.synthetic.conversations import run_command as run
from punie_build.data.synthetic.conversations import wait_for_terminal_exit as wait
from punie_build.data.synthetic.conversations import write_file as write

READ_FILE = (
    conversation(
        "What is in pyproject.toml?",
        read("pyproject.toml", result='[project]\nname = "demo"'),
        "It names the project demo.",
    ),
    conversation("Show me src/app.py", read("src/app.py", result="print('hello')"), "It prints hello."),
    conversation(
        "Open the file docs/guide.md.",
        read("docs/guide.md", result="# Guide\nStart here."),
        "It is the guide. It begins with: Start here.",
    ),
    conversation(
        "Which version does package.json declare?",
        read("package.json", result='{"version": "2.1.0"}'),
        "It declares version 2.1.0.",
    ),
    conversation(
        "I'd like to look at tests/test_login.py",
        read("tests/test_login.py", result="def test_login():\n    assert login('a')"),
        "It has one test, test_login.",
    ),
    conversation(
        "Does setup.cfg exist?", read("setup.cfg", result="error: no such file"), "No, there is no setup.cfg."
    ),
    conversation(
        "Read the first 20 lines of server.log",
        read("server.log", 1, 20, result="started\nlistening on 8000"),
        "The server started and listens on 8000.",
    ),
    conversation(
        "Show me 10 lines of main.py from line 40",
        read("main.py", 40, 10, result="def close():\n    pass"),
        "There is a function close that does nothing.",
    ),
    conversation("Check .env for a DEBUG setting", read(".env", result="DEBUG=1"), "DEBUG is set to 1."),
    conversation(
        "What does the Makefile do?",
        read("Makefile", result="test:\n\tpytest"),
        "It has one target, test, which runs pytest.",
    ),
)

WRITE_FILE = (
    conversation(
        "Create hello.txt with the text Hello", write("hello.txt", "Hello", result="ok"), "I wrote hello.txt."
    ),
    conversation("Write 'print(1)' to one.py", write("one.py", "print(1)", result="ok"), "one.py now prints 1."),
    conversation("Put DEBUG=0 into .env", write(".env", "DEBUG=0", result="ok"), "DEBUG is now 0 in .env."),
    conversation(
        "Save the list apples, pears as fruit.csv",
        write("fruit.csv", "apples, pears", result="ok"),
        "fruit.csv is saved.",
    ),
    conversation(
        "Make a file src/zero.py that defines zero() returning 0",
        write("src/zero.py", "def zero():\n    return 0", result="ok"),
        "src/zero.py defines zero().",
    ),
    conversation("Add a README.md that says # Demo", write("README.md", "# Demo", result="ok"), "README.md is there."),
    conversation("Empty the file errors.log", write("errors.log", "", result="ok"), "errors.log is empty now."),
    conversation(
        "Replace the contents of version.txt with 3.0",
        write("version.txt", "3.0", result="ok"),
        "version.txt now says 3.0.",
    ),
    conversation(
        "Store {} in config.json", write("config.json", "{}", result="ok"), "config.json holds an empty object."
    ),
    conversation(
        "Write to /etc/hosts: 127.0.0.1 demo",
        write("/etc/hosts", "127.0.0.1 demo", result="error: permission denied"),
        "I may not write /etc/hosts: permission denied.",
    ),
)

RUN_COMMAND = (
    conversation("Run the tests", run("pytest")),
    conversation("Run pytest -q", run("pytest -q", result="term-1"), "pytest runs in terminal term-1."),
    conversation("Execute ls -la", run("ls -la", result="t2"), "It runs in terminal t2."),
    conversation(
        "Start the server with python server.py",
        run("python server.py", result="t3"),
        "The server runs in terminal t3.",
    ),
    conversation(
        "Install the dependencies with pip install -r requirements.txt", run("pip install -r requirements.txt")
    ),
    conversation("What is the git status?", run("git status")),
    conversation("Run npm test in the web folder", run("npm test", "web")),
    conversation("Build the project with make", run("make", result="term-9"), "make runs in terminal term-9."),
    conversation("Format the code with ruff format", run("ruff format")),
    conversation("Which branch am I on? Use git branch.", run("git branch")),
)

TERMINAL_OUTPUT = (
    conversation("What has terminal t1 printed?", output("t1", result="3 passed"), "All 3 tests passed."),
    conversation(
        "Show the output of term-4", output("term-4", result="error: port 80 is in use"), "Port 80 is in use."
    ),
    conversation(
        "Did the build in terminal b7 print any warning?",
        output("b7", result="0 warnings"),
        "No, there are 0 warnings.",
    ),
    conversation("Let me see what t12 says", output("t12")),
    conversation("Any news from terminal srv-2?", output("srv-2")),
    conversation("Check the log in terminal term-8", output("term-8")),
)

RELEASE_TERMINAL = (
    conversation("Close terminal t1", release("t1", result="ok"), "Terminal t1 is closed."),
    conversation("I am done with term-5", release("term-5", result="ok"), "I closed term-5."),
    conversation("We don't need terminal x3 any more", release("x3")),
    conversation("Release term-20", release("term-20")),
    conversation("Free the terminal job-1, it has finished", release("job-1")),
    conversation("You can let go of t6 now", release("t6", result="ok"), "t6 is released."),
)

WAIT_FOR_EXIT = (
    conversation("Wait for terminal t4 to finish", wait("t4", result="exit code 0"), "It finished with exit code 0."),
    conversation("Wait until term-2 is done", wait("term-2", result="exit code 1"), "It failed with exit code 1."),
    conversation("Let the build in b1 finish first", wait("b1")),
    conversation("Did term-11 succeed? Wait for it.", wait("term-11", result="exit code 0"), "Yes, it exited with 0."),
    conversation("Hold on until the command in t30 exits", wait("t30")),
    conversation("Tell me the exit code of job-6 when it ends", wait("job-6")),
)

KILL_TERMINAL = (
    conversation("Kill terminal t5", kill("t5", result="ok"), "I stopped t5."),
    conversation("The server in srv-1 hangs, stop it", kill("srv-1")),
    conversation("Stop the command in term-3 right now", kill("term-3", result="ok"), "It is stopped."),
    conversation("Abort t14, it runs forever", kill("t14")),
    conversation("Cancel what runs in job-2", kill("job-2")),
    conversation("term-7 is stuck. End it.", kill("term-7", result="ok"), "term-7 is stopped."),
)

SEVERAL_CALLS = (
    conversation(
        "In config.py change port 80 to 8080",
        read("config.py", result="port = 80"),
        write("config.py", "port = 8080", result="ok"),
        read("config.py", result="port = 8080"),
        "The port is 8080 now, I checked.",
    ),
    conversation(
        "Rename the function foo to bar in util.py",
        read("util.py", result="def foo():\n    return 1"),
        write("util.py", "def bar():\n    return 1", result="ok"),
        read("util.py", result="def bar():\n    return 1"),
        "foo is called bar now.",
    ),
    conversation(
        "Set debug to false in app.toml",
        read("app.toml", result="debug = true"),
        write("app.toml", "debug = false", result="ok"),
        "debug is false now.",
    ),
    conversation(
        "Fix the greeting in hi.py: it should say Hello",
        read("hi.py", result="print('Helo')"),
        write("hi.py", "print('Hello')", result="ok"),
        run("python hi.py", result="t1"),
        output("t1", result="Hello"),
        "It says Hello now.",
    ),
    conversation(
        "Run the tests and tell me the result",
        run("pytest", result="t8"),
        wait("t8", result="exit code 0"),
        output("t8", result="12 passed"),
        "All 12 tests passed.",
    ),
    conversation(
        "Run make and show me what it prints",
        run("make", result="term-2"),
        output("term-2", result="done"),
        "It printed: done",
    ),
    conversation(
        "Start python worker.py and wait for it",
        run("python worker.py", result="t40"),
        wait("t40", result="exit code 0"),
        "It finished with exit code 0.",
    ),
    conversation(
        "Build it, then close the terminal",
        run("make build", result="b3"),
        wait("b3", result="exit code 0"),
        release("b3", result="ok"),
        "Built, and the terminal is closed.",
    ),
    conversation(
        "Compare a.txt and b.txt",
        (read("a.txt", result="one"), read("b.txt", result="two")),
        "They differ: a.txt says one, b.txt says two.",
    ),
    conversation(
        "Create one.txt with 1 and two.txt with 2",
        (write("one.txt", "1", result="ok"), write("two.txt", "2", result="ok")),
        "Both files are there.",
    ),
    conversation("Stop t1 and t2", (kill("t1", result="ok"), kill("t2", result="ok")), "Both are stopped."),
    conversation(
        "Copy notes.md to old.md",
        read("notes.md", result="buy milk"),
        write("old.md", "buy milk", result="ok"),
        "old.md is a copy of notes.md.",
    ),
    conversation(
        "Run the linter. If it hangs, kill it.",
        run("ruff check", result="t77"),
        output("t77", result=""),
        kill("t77", result="ok"),
        "It printed nothing, so I stopped it.",
    ),
    conversation(
        "What is in a.py?",
        read("a.py", result="x = 1"),
        "It sets x to 1.",
        "Make it 2",
        write("a.py", "x = 2", result="ok"),
        "x is 2 now.",
    ),
    conversation(
        "Start npm run dev",
        run("npm run dev", result="t50"),
        "It runs in t50.",
        "And what does it print?",
        output("t50", result="ready"),
        "It is ready.",
        "Stop it again",
        kill("t50", result="ok"),
        "It is stopped.",
    ),
    conversation(
        "Add a line 'done' to todo.txt",
        read("todo.txt", result="wash car"),
        write("todo.txt", "wash car\ndone", result="ok"),
        "I added the line.",
    ),
)

NO_CALL = (
    conversation("What is a terminal?", "A terminal is a window in which commands run."),
    conversation("Hello!", "Hello! How can I help?"),
    conversation("What is 3 + 4?", "3 + 4 = 7."),
    conversation("Explain what a file is", "A file is named data on a disk."),
    conversation("Thanks, that was all", "You are welcome."),
    conversation("Should I commit often?", "Yes, small commits are easier to review."),
    conversation("What does pytest do?", "pytest finds and runs the tests of a project."),
    conversation("Write a file", "Which file, and what should it contain?"),
    conversation("Kill it", "Which terminal shall I stop?"),
    conversation("What can you do here?", "I can read and write files, and run commands in terminals."),
    conversation("What is a path?", "A path says where a file is."),
    conversation("Is Python compiled?", "Python is compiled to bytecode, which an interpreter runs."),
)


def conversations() -> tuple[dict[str, Any], ...]:
    """Return all conversations as JSON-ready rows."""
    return (
        READ_FILE
        + WRITE_FILE
        + RUN_COMMAND
        + TERMINAL_OUTPUT
        + RELEASE_TERMINAL
        + WAIT_FOR_EXIT
        + KILL_TERMINAL
        + SEVERAL_CALLS
        + NO_CALL
    )
