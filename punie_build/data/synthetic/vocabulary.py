"""The words, prompts and texts from which the synthetic examples are drawn.

To add a prompt: a line in `PROMPTS`. New lines change the examples, because they change the draws.
"""

from __future__ import annotations

STEMS = """alpha batch cache chart client codec daemon editor engine export filter format graph helper image index input
kernel layout ledger loader logger mapper matrix merge metric model monitor node order output panel parser patch
plugin policy query queue reader record render report router runner sample schema score search sensor signal
socket sorter state stream table target timer token tracker update user vector viewer widget worker""".split()
FOLDERS = """src lib app tests docs scripts tools core web api data etc conf examples server client""".split()
ENDINGS = ["py", "md", "txt", "json", "toml", "yaml", "js", "css", "html", "sh", "cfg", "ini", "log", "csv"]
PROGRAMS = """pytest make npm cargo ruff git python pip node docker go mypy tox black uv""".split()
WORDS = """green river stone window copper winter silver garden morning harbor letter music paper bridge forest candle
market summer yellow island""".split()

# {p} is a path, {c} a text, {x} a command, {t} a terminal
PROMPTS: dict[str, tuple[str, ...]] = {
    "read_file": (
        "Show {p}",
        "Open {p}",
        "What does {p} contain?",
        "Print {p} for me",
        "Have a look at {p}",
        "What is written in {p}?",
        "Can I see {p}?",
        "I need the contents of {p}",
        "Tell me what {p} says",
        "Review {p}",
        "Summarize {p}",
        "Find the bug in {p}",
        "What is inside {p}?",
        "Explain the code in {p}",
    ),
    "write_file": (
        "Write {c} to {p}",
        "Create {p} with {c}",
        "Save {c} in {p}",
        "Make {p} say {c}",
        "Put {c} in the file {p}",
        "Overwrite {p} with {c}",
        "Let {p} contain {c}",
        "{p} should contain {c}",
        "New file {p} with the content {c}",
        "Store {c} as {p}",
    ),
    "run_command": (
        "Run {x}",
        "Execute {x}",
        "Start {x}",
        "Do a {x}",
        "Launch {x} in a terminal",
        "Call {x} in the shell",
        "Use {x}",
        "Please try {x}",
        "Could you run {x}?",
        "Kick off {x}",
    ),
    "get_terminal_output": (
        "What did {t} print?",
        "Show the output of terminal {t}",
        "Output of {t}?",
        "What does terminal {t} say so far?",
        "Look at the output of {t}",
        "Read what {t} printed",
        "Is there an error in terminal {t}?",
        "Print the log of {t}",
    ),
    "release_terminal": (
        "Release {t}",
        "Close terminal {t}",
        "Terminal {t} is no longer needed",
        "Free {t}",
        "Clean up terminal {t}",
        "We are finished with {t}",
        "Give {t} back",
        "Dispose of terminal {t}",
    ),
    "wait_for_terminal_exit": (
        "Wait for {t}",
        "Wait until terminal {t} ends",
        "Block until {t} is finished",
        "Let {t} complete",
        "Has {t} exited? Wait for it",
        "Stay until terminal {t} is done",
        "Give me the exit code of {t}",
        "When {t} ends, tell me how",
    ),
    "kill_terminal": (
        "Kill {t}",
        "Stop terminal {t}",
        "Terminate {t}",
        "{t} hangs, kill it",
        "End the process in {t} now",
        "Interrupt {t}",
        "Abort what {t} is doing",
        "Terminal {t} does not respond, stop it",
    ),
}
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
FOREIGN_LANGUAGE = (
    (
        "Bonjour, peux-tu m'expliquer ce que fait cette fonction ?",
        "Bien sûr, cette fonction calcule la somme de deux nombres entiers.",
    ),
    (
        "Wie kann ich diese Datei in meinem Projekt löschen?",
        "Du kannst die Datei im Verzeichnis auswählen und danach löschen.",
    ),
    (
        "¿Puedes mostrarme cómo se ejecutan las pruebas del proyecto?",
        "Claro, las pruebas se ejecutan desde la carpeta principal del proyecto.",
    ),
    ("このファイルの内容を教えてください。", "このファイルには設定が書かれています。"),
    ("Можешь объяснить, что делает эта программа?", "Эта программа читает файл и выводит строки на экран."),
    ("Puoi spiegarmi come funziona questo programma?", "Certo, il programma legge un elenco e stampa ogni elemento."),
)
PYTHON2_CODE = (
    'print "{w}"',
    "for i in xrange({n}):\n    print i",
    "try:\n    {s}()\nexcept ValueError, error:\n    print error",
    'raise ValueError, "{w}"',
    'name = raw_input("{w}? ")',
    'import urllib2\nurllib2.urlopen("{w}")',
    'if {n} <> 3:\n    exec "{s}()"',
)
