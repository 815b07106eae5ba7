"""The corpus nano is trained on: conversations drawn from a seed, none of them taken from anywhere.

Two thirds are tool calls for tools *declared in the prompt*: the declarations are drawn anew each time (names, arguments,
wording, neighbours that look alike), so the only way to be right is to read the declaration and copy from it. The rest is
small talk, facts, sums and short Python, and questions no declared tool can answer.

The seven editor tools never occur (`test_nano.py` proves it): what nano does with them is what it can read off their declaration.

To add a kind of conversation: write a function `(Random) -> Example` and give it a share in `FAMILIES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Example = dict[str, Any]

FORBIDDEN = ("read_file", "write_file", "run_command", "get_terminal_output", "release_terminal", "wait_for_terminal_exit", "kill_terminal")

# ------------------------------------------------------------------------------------------------------------ words

ONSETS = "b bl br c ch cl d dr f fl g gr h j k l m n p pl qu r s sh sl st t th tr v w z".split()
VOWELS = "a e i o u ai ea io ou".split()
CODAS = ["", "", "", "n", "r", "l", "s", "t", "m", "nd", "ck", "x"]
PEOPLE = "Ada Ben Chloe David Emma Farid Grace Hugo Ines Jonas Kira Leo Mira Noah Olga Priya Quinn Rosa Sam Tara Uma Victor Wendy Yuki Zoe".split()
CITIES = "Paris London Berlin Madrid Rome Vienna Prague Lisbon Dublin Oslo Athens Cairo Nairobi Lima Quito Tokyo Seoul Delhi Mumbai Boston Denver Austin Seattle Toronto Sydney".split()
COLORS = "red green blue yellow white black orange purple grey pink brown".split()
COMMON = """the a of to in and is for on with as at by from this that it we you they new old small large first last next every some all
team project plan list page table report code test build server client user account price total budget meeting lunch train house garden
water light music book paper story letter window door road river mountain summer winter morning evening market school office phone
update change check review start finish open close move keep call ask tell show need want fix add remove ready late early done fast slow
good better clear simple quick main final short long weekly daily monthly error warning result value number name date time""".split()
EXTENSIONS = "txt md py json csv toml yaml html js css log cfg ini rs go sql sh xml".split()
FOLDERS = "src lib app docs tests data config scripts tools notes assets core api web models utils build examples public include".split()
STEMS = """main index app config settings readme notes users orders report server client parser lexer utils helpers models views routes
schema data input output test_app test_api setup deploy draft todo plan summary budget log errors cache auth login session worker queue""".split()


# words for copying alone: with them every common run of letters is spelt now and then, so that none is foreign to nano
SPELT = """abstract accent account adapter address admiral algebra amber anchor animal antenna apricot archive arena arrow aspect asphalt atlas
autumn badge bakery balance bamboo banner basin beacon bishop blanket blossom bottle boundary bracket breeze budget buffer cabin cable camel
canal candle canyon captain carbon carpet castle cedar cement century ceramic chamber chapter charcoal cherry chimney cinema circuit climate
cluster cobalt coffee collar comet command compass concert content copper coral cotton council cousin cradle crater crystal cursor curtain
cushion cylinder dancer daylight debate decimal defense dentist desert detail diamond digital dinner discount distance doctor dolphin domain
donkey dragon drawer dynamo eagle echo eclipse effort elbow elder element emblem empire energy engine enigma episode estate exit fabric factor
falcon feather fiction filter finance flannel flavor flicker fluid forest fossil fragment freight galaxy gallery gamma garlic gateway gender
geyser ginger glacier glimpse gospel grammar granite gravity grocery guitar habit hammer harbor hazard helmet herald hermit hollow horizon
humble hybrid iceberg idiom igloo impulse income index indigo infant ingot insect island ivory jacket jaguar jasmine jersey jigsaw journal
journey juniper kernel kettle kidney kingdom kitchen ladder lagoon lantern lateral laundry lemon lever liberty lizard lobster locker logic
luggage lumber machine magnet mammal mandate marble margin master matrix meadow medal melody mentor mercury method mineral minute miracle
mixture module monarch monkey morsel mosaic motion muffin museum mustard mystery nectar needle neutral nickel nominal notion nugget oasis
object ocean octave office olive onion optic orbit orchid organ origin output oxygen oyster paddle palace panther parade parcel parrot pattern
pebble pencil pepper permit phantom picnic pigeon pillow pioneer planet plaster pocket poetry polygon portal potato powder prism profit prompt
puzzle quartz quiver rabbit radar raisin random ransom ravine reactor rebel refuge release remote render ribbon riddle rocket rubber saddle
salmon sandal saturn scarlet scholar sector segment seminar shadow shelter signal silicon skeleton socket solar sonnet spider spiral sponge
stadium statue sulfur summit sunset symbol syntax tailor talent tangent target temple tender terminal texture thunder ticket timber tissue
tobacco tomato tonic topaz tornado torrent traffic transit tribute trumpet tunnel turbine turtle twilight umbrella uncle unique update upper
urban utility vacuum valley vanilla vector velvet vendor verdict vessel victory village violin visitor volcano voltage voyage waffle wagon
walnut warrior weapon whisper widget willow window wisdom wizard wonder yellow yogurt zebra zenith zigzag""".split()


def word(r: Random) -> str:
    """One word that means nothing here: made up, or spelt from the list. Nothing to remember, only to copy."""
    if r.random() < 0.4:
        return r.choice(SPELT)
    return "".join(r.choice(ONSETS) + r.choice(VOWELS) for _ in range(r.randint(1, 2))) + r.choice(CODAS)


def name_like(r: Random) -> str:
    return r.choice([r.choice(STEMS), r.choice(STEMS), word(r), f"{r.choice(STEMS)}_{word(r)}", f"{word(r)}-{r.randint(1, 99)}", f"{r.choice(STEMS)}{r.randint(1, 9)}"])


def path(r: Random) -> str:
    parts = [r.choice([r.choice(FOLDERS), r.choice(FOLDERS), word(r)]) for _ in range(r.choice([0, 1, 1, 2, 2, 3]))]
    start = r.choice(["", "", "", "", "./", "/", "~/"])
    stem = name_like(r)
    if r.random() < 0.08:
        stem = r.choice(["Makefile", "Dockerfile", "LICENSE", ".env", ".gitignore", "README"])
        return start + "/".join([*parts, stem])
    return start + "/".join([*parts, f"{stem}.{r.choice(EXTENSIONS)}"])


def identifier(r: Random) -> str:
    return r.choice([
        lambda: str(r.randint(1, 9)), lambda: str(r.randint(10, 99999)), lambda: f"{r.choice('ABCDXKQ')}-{r.randint(1, 999)}",
        lambda: f"{word(r)}-{r.randint(1, 99)}", lambda: f"{word(r)}_{r.randint(1, 9)}", lambda: f"{word(r)[:3]}{r.randint(100, 9999)}",
        lambda: "".join(r.choice("0123456789abcdef") for _ in range(r.choice([4, 6, 8]))), lambda: f"#{r.randint(1, 999)}",
        lambda: word(r), lambda: f"{r.choice('tpjsbw')}{r.randint(1, 40)}",
    ])()


def phrase(r: Random, low: int = 2, high: int = 6) -> str:
    return " ".join(r.choice(COMMON) if r.random() < 0.8 else word(r) for _ in range(r.randint(low, high)))


def sentence(r: Random) -> str:
    text = phrase(r, 3, 8)
    return text[0].upper() + text[1:] + r.choice([".", ".", "!", ""])


def snippet(r: Random) -> str:
    """A line or two of something a person might want saved."""
    a, b, n = r.choice(STEMS).replace("test_", ""), word(r), r.randint(1, 500)
    return r.choice([
        lambda: sentence(r), lambda: f"{b} = {n}", lambda: f"print('{phrase(r, 1, 3)}')", lambda: f"def {b}():\n    return {n}",
        lambda: f"import {a}", lambda: f"# {phrase(r, 1, 4)}", lambda: f"{a}: {b}", lambda: f"{b}, {a}, {n}", lambda: f"{a} = '{b}'",
        lambda: f"{word(r)}\n{word(r)}", lambda: f"DEBUG={r.choice(['true', 'false', '1', '0'])}", lambda: phrase(r, 1, 3), lambda: f"<p>{phrase(r, 1, 3)}</p>",
        lambda: f"x = {r.randint(0, 9)}\ny = {r.randint(0, 9)}", lambda: f"version {r.randint(0, 9)}.{r.randint(0, 9)}", lambda: f"[{a}]\nname = \"{b}\"",
    ])()


def shell(r: Random) -> str:
    p, q = path(r), word(r)
    return r.choice([
        lambda: f"ls {r.choice(['', '-l ', '-la '])}{r.choice(FOLDERS)}", lambda: f"python {p}", lambda: f"git {r.choice(['status', 'log', 'diff', 'pull', 'push', 'fetch', 'branch'])}",
        lambda: f"pip install {q}", lambda: f"make {r.choice(['test', 'all', 'clean', 'docs', q])}", lambda: f"cat {p}", lambda: f"grep {q} {p}", lambda: f"npm {r.choice(['install', 'test', 'run build', 'start'])}",
        lambda: f"pytest {r.choice(['', '-q ', '-x '])}{p}", lambda: f"echo {q}", lambda: f"mkdir {q}", lambda: f"rm {p}", lambda: f"cargo {r.choice(['build', 'test', 'run'])}",
        lambda: f"docker {r.choice(['ps', 'images', 'build .'])}", lambda: f"du -sh {r.choice(FOLDERS)}", lambda: f"wc -l {p}", lambda: "pwd", lambda: "whoami", lambda: f"ping {q}.com", lambda: f"{q} --{word(r)}",
        lambda: f"sleep {r.randint(1, 60)}", lambda: f"tail -n {r.randint(1, 50)} {p}", lambda: f"ruff check {r.choice(FOLDERS)}", lambda: f"node {p}", lambda: f"curl {q}.org",
    ])().strip()


def hour(r: Random) -> str:
    return r.choice([f"{r.randint(0, 23):02d}:{r.choice(['00', '15', '30', '45'])}", f"{r.randint(1, 12)} {r.choice(['am', 'pm'])}"])


def day(r: Random) -> str:
    return r.choice(["today", "tomorrow", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", f"2026-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}"])


# ------------------------------------------------------------------------------------------------------------ tools
# An archetype is one thing tools do: verbs for its name, wordings of its description, arguments, and how people ask for it.
# `{x}` in an ask stands for the value of argument slot x; `{n}` for the noun. Slots: slot -> (names it may have, type, value).

THINGS = """order invoice customer ticket product recipe song movie flight hotel event booking contract shipment article photo playlist course
student patient vehicle sensor device camera lamp package member campaign coupon review comment post channel message thread folder
calendar contact reminder alarm note bookmark database record entry dataset chart dashboard wallet payment refund subscription license profile""".split()
JOBS = "job process session container task pipeline worker build deployment run script service shell console instance connection stream agent workflow queue".split()
TEXTS = "document note page script text template draft config article source record sheet memo snippet module".split()

Slot = tuple[list[str], str, Callable[[Random], Any]]


def integer(low: int, high: int) -> Callable[[Random], int]:
    return lambda r: r.randint(low, high)


ID: Slot = (["id", "{n}_id", "ref", "code", "key", "{n}", "number", "handle"], "string", identifier)
PATH: Slot = (["path", "location", "filename", "target", "source", "uri", "name", "{n}_path"], "string", path)
BODY: Slot = (["content", "text", "body", "data", "contents", "value"], "string", snippet)
QUERY: Slot = (["query", "q", "search", "keywords", "term", "text"], "string", lambda r: phrase(r, 1, 4))
COMMAND: Slot = (["command", "cmd", "line", "script", "expression", "code"], "string", shell)
CITY: Slot = (["city", "location", "place", "town"], "string", lambda r: r.choice(CITIES) if r.random() < 0.7 else word(r).title())
PERSON: Slot = (["to", "recipient", "person", "user", "name", "contact"], "string", lambda r: r.choice(PEOPLE) if r.random() < 0.7 else word(r).title())
MESSAGE: Slot = (["message", "text", "body", "content"], "string", lambda r: phrase(r, 2, 7))
AMOUNT: Slot = (["amount", "value", "quantity", "total", "number"], "number", lambda r: r.choice([r.randint(1, 999), r.randint(1, 99), round(r.random() * 100, 1)]))
COUNT: Slot = (["count", "limit", "n", "max", "amount", "quantity"], "integer", integer(1, 99))
TIME: Slot = (["time", "at", "when", "hour"], "string", hour)
DAY: Slot = (["date", "day", "on", "when"], "string", day)
TITLE: Slot = (["title", "name", "label", "subject"], "string", lambda r: phrase(r, 1, 4))
COLOR: Slot = (["color", "colour", "shade"], "string", lambda r: r.choice(COLORS))

ARCHETYPES: list[dict[str, Any]] = [
    {"verbs": "get fetch find lookup retrieve show".split(), "nouns": THINGS, "slots": {"i": ID},
     "says": ["Get one {n} by its id.", "Fetch the details of a {n}.", "Look up a {n}.", "Return a single {n}."],
     "asks": ["Get {n} {i}", "Show me {n} {i}", "Look up the {n} with id {i}", "I need the details of {n} {i}", "What do we know about {n} {i}?", "Find {n} {i} please", "Can you pull up {n} {i}?"]},
    {"verbs": "delete remove discard erase drop".split(), "nouns": THINGS, "slots": {"i": ID},
     "says": ["Delete a {n}.", "Remove one {n} for good.", "Erase a {n} by id."],
     "asks": ["Delete {n} {i}", "Remove {n} {i}", "Get rid of {n} {i}", "Please erase the {n} {i}", "We no longer need {n} {i}, delete it", "Throw away {n} {i}"]},
    {"verbs": "create add new make insert".split(), "nouns": THINGS, "slots": {"t": TITLE},
     "says": ["Create a new {n}.", "Add a {n} with a name.", "Make a {n}."],
     "asks": ["Create a {n} called {t}", "Add a new {n} named {t}", "Make a {n} with the title {t}", "I want a new {n}: {t}", "Set up a {n} called {t}"]},
    {"verbs": "search find query look_for".split(), "nouns": [n + "s" for n in THINGS if not n.endswith("y")], "slots": {"q": QUERY},
     "says": ["Search {n} by text.", "Find {n} that match a query.", "Full text search over {n}."],
     "asks": ["Search the {n} for {q}", "Find {n} about {q}", "Which {n} mention {q}?", "Look for {q} in the {n}", "Search {n}: {q}"]},
    {"verbs": "list browse enumerate".split(), "nouns": [n + "s" for n in THINGS if not n.endswith("y")], "slots": {"c?": COUNT},
     "says": ["List all {n}.", "Return the {n} there are.", "Show every one of the {n}."],
     "asks": ["List the {n}", "Show all {n}", "Which {n} are there?", "List {c} {n}", "Show me the first {c} {n}", "Give me {c} {n}"]},
    {"verbs": "rename update change set".split(), "nouns": THINGS, "slots": {"i": ID, "t": TITLE},
     "says": ["Change the title of a {n}.", "Rename a {n}.", "Give a {n} a new name."],
     "asks": ["Rename {n} {i} to {t}", "Change the name of {n} {i} to {t}", "Call {n} {i} {t} from now on", "Set the title of {n} {i} to {t}"]},
    {"verbs": "send post deliver push".split(), "nouns": "message email sms note alert letter notification reply".split(), "slots": {"p": PERSON, "m": MESSAGE},
     "says": ["Send a {n} to somebody.", "Deliver a {n}.", "Write a {n} to a person."],
     "asks": ["Send {p} a {n}: {m}", "Tell {p} that {m}", "Write a {n} to {p} saying {m}", "Let {p} know: {m}", "Send a {n} to {p} with the text {m}"]},
    {"verbs": "get check fetch".split(), "nouns": "weather forecast temperature rainfall wind humidity".split(), "slots": {"c": CITY, "d?": DAY},
     "says": ["Get the {n} of a city.", "Tell the {n} for a place.", "Current {n} at a location."],
     "asks": ["What is the {n} in {c}?", "Tell me the {n} for {c}", "How is the {n} in {c} {d}?", "Check the {n} in {c} on {d}", "{n} in {c}?"]},
    {"verbs": "schedule plan book arrange".split(), "nouns": "meeting call visit appointment lunch review lesson interview".split(), "slots": {"d": DAY, "t": TIME, "p?": PERSON},
     "says": ["Put a {n} in the calendar.", "Plan a {n} at a date and time.", "Arrange a {n}."],
     "asks": ["Schedule a {n} on {d} at {t}", "Plan a {n} for {d}, {t}", "Book a {n} with {p} on {d} at {t}", "Set up a {n} with {p} {d} at {t}", "I need a {n} {d} at {t}"]},
    {"verbs": "set switch change adjust".split(), "nouns": "lamp light screen background theme wall banner".split(), "slots": {"c": COLOR},
     "says": ["Set the color of the {n}.", "Change how the {n} looks.", "Pick a color for the {n}."],
     "asks": ["Make the {n} {c}", "Set the {n} to {c}", "Change the {n} color to {c}", "I want a {c} {n}", "Turn the {n} {c}"]},
    {"verbs": "convert exchange change".split(), "nouns": "currency money amount".split(), "slots": {"a": AMOUNT, "s": (["from", "source", "base"], "string", lambda r: r.choice("USD EUR GBP JPY CHF SEK INR".split())), "t": (["to", "target", "into"], "string", lambda r: r.choice("AUD CAD NOK PLN CZK BRL MXN".split()))},
     "says": ["Convert an amount between currencies.", "Exchange money."],
     "asks": ["Convert {a} {s} to {t}", "How much is {a} {s} in {t}?", "Exchange {a} {s} into {t}", "What are {a} {s} worth in {t}?"]},
    {"verbs": "translate".split(), "nouns": "text sentence phrase".split(), "slots": {"m": MESSAGE, "l": (["language", "to", "target"], "string", lambda r: r.choice("French German Spanish Italian Dutch Polish Greek".split()))},
     "says": ["Translate a {n}.", "Put a {n} into another language."],
     "asks": ["Translate {m} into {l}", "How do you say {m} in {l}?", "Put this in {l}: {m}", "{l} for {m}?"]},
    {"verbs": "play start queue".split(), "nouns": "song album playlist podcast radio".split(), "slots": {"t": TITLE},
     "says": ["Play a {n}.", "Start playing a {n} by name."], "asks": ["Play the {n} {t}", "Put on {t}", "I want to hear {t}", "Start the {n} {t}"]},
    {"verbs": "buy order purchase".split(), "nouns": "item product ticket book part".split(), "slots": {"t": TITLE, "c": COUNT},
     "says": ["Buy a number of a {n}.", "Order a {n}."], "asks": ["Buy {c} of {t}", "Order {c} {t}", "I need {c} {t}, please order", "Get me {c} times {t}"]},
    # what agents do with texts and jobs
    {"verbs": "open load view cat get show".split(), "nouns": TEXTS, "slots": {"p": PATH},
     "says": ["Read a {n} and return its text.", "Return the contents of a {n}.", "Load a {n} from disk.", "Open a {n} and show what is inside."],
     "asks": ["Open {p}", "Show me {p}", "Show me the contents of {p}", "What is in {p}?", "What does {p} say?", "Let me see {p}", "Read {p}", "Print {p}", "Look at {p}", "Can you read {p} for me?", "Display {p}", "Check what {p} contains", "I want to see {p}"]},
    {"verbs": "save store put edit create".split(), "nouns": TEXTS, "slots": {"p": PATH, "b": BODY},
     "says": ["Write text to a {n}.", "Store new contents in a {n}.", "Save a {n} to disk.", "Replace what a {n} contains."],
     "asks": ["Save {b} to {p}", "Write {b} to {p}", "Put {b} into {p}", "Create {p} with the content {b}", "Store {b} in {p}", "Make a {n} {p} that contains {b}", "Overwrite {p} with {b}", "In {p}, write {b}", "Create {p} containing {b}", "Set the contents of {p} to {b}"]},
    {"verbs": "execute exec run_in start launch".split(), "nouns": "shell console script line program action bash".split(), "slots": {"c": COMMAND},
     "says": ["Execute a command line.", "Run a program and return its id.", "Start a shell command.", "Launch a program."],
     "asks": ["Run {c}", "Execute {c}", "Run the command {c}", "Start {c}", "Please run {c}", "Use the shell: {c}", "Launch {c}", "Could you execute {c}?", "Run `{c}`", "Try {c}"]},
    {"verbs": "read get fetch tail show".split(), "nouns": [j + s for j in JOBS for s in ("_log", "_output", "_logs", "_result")], "slots": {"i": ID},
     "says": ["Return what was printed so far.", "Get the output of a running {n}.", "Read the log by id.", "Show the {n}."],
     "asks": ["What did {i} print?", "Show the output of {i}", "What has {i} written so far?", "Give me the log of {i}", "Let me see what {i} says", "Any output from {i}?", "Check the output of {i}"]},
    {"verbs": "stop abort cancel terminate halt end".split(), "nouns": JOBS, "slots": {"i": ID},
     "says": ["Stop a running {n}.", "Abort a {n} at once.", "Force a {n} to end.", "Terminate a {n}."],
     "asks": ["Stop {i}", "Stop {n} {i}", "Abort {i}", "{i} hangs, stop it", "Cancel {i}", "Terminate {n} {i}", "End {i} now", "{i} is stuck, abort it", "Kill {i}", "Shut {i} down"]},
    {"verbs": "await join watch wait_on".split(), "nouns": JOBS, "slots": {"i": ID},
     "says": ["Wait until a {n} has finished.", "Block until the {n} is done.", "Wait for the end of a {n}."],
     "asks": ["Wait for {i}", "Wait until {i} is done", "Let {i} finish first", "Wait for {n} {i} to end", "Hold on until {i} completes", "Block until {i} has finished", "Tell me when {i} is done"]},
    {"verbs": "close free dispose detach drop".split(), "nouns": JOBS, "slots": {"i": ID},
     "says": ["Close a {n} that is no longer needed.", "Free the resources of a {n}.", "Dispose of a {n}."],
     "asks": ["Close {i}", "Free {i}", "I am done with {i}", "We do not need {i} any more", "Clean up {i}", "Close {n} {i}", "Let go of {i}", "Dispose of {i}", "Release {i}"]},
]  # fmt: skip


def styled(r: Random, verb: str, noun: str) -> str:
    name = f"{verb}_{noun}"
    camel = "".join(part.title() for part in name.split("_"))
    return r.choice([name, name, name, name, camel[0].lower() + camel[1:], camel, f"{noun}.{verb}", f"{noun}_{verb}", f"{word(r)}_{name}", f"{verb}-{noun}"])


class Tool:
    """One drawn tool: its declaration, and how to ask for it. `plain` is its noun in words."""

    def __init__(self, r: Random, kind: dict[str, Any]) -> None:
        noun = r.choice(kind["nouns"])
        self.kind, self.plain = kind, noun.replace("_", " ")
        self.name = styled(r, r.choice(kind["verbs"]), noun)
        while self.name in FORBIDDEN:
            self.name = f"{word(r)}_{self.name}"
        if r.random() < 0.06:
            self.name = word(r) + "_" + word(r)
        self.names: dict[str, str] = {}
        properties: dict[str, Any] = {}
        required = []
        for slot, (names, type_, _) in kind["slots"].items():
            free = [n for n in (x.replace("{n}", noun.split("_")[0]) for x in names) if n not in properties]
            name = r.choice(free)
            if r.random() < 0.07:
                name = word(r)
            self.names[slot.rstrip("?")] = name
            properties[name] = {"type": type_}
            if not slot.endswith("?"):
                required.append(name)
        extra = r.random()
        if extra < 0.06:
            properties[r.choice(["verbose", "force", "dry_run", "recursive", "confirm"])] = {"type": "boolean"}
        elif extra < 0.1:
            properties[r.choice(["format", "mode", "style"])] = {"type": "string", "enum": [word(r), word(r)]}
        says = r.choice(kind["says"]).replace("{n}", self.plain)
        function: dict[str, Any] = {"name": self.name, "description": says if r.random() < 0.8 else says.rstrip("."), "parameters": {"type": "object", "properties": properties, "required": required}}
        if r.random() < 0.04:
            del function["description"]
        self.schema = {"type": "function", "function": function}

    def request(self, r: Random) -> tuple[str, dict[str, Any]]:
        """What a person says, and the arguments it means. A text, a dict from argument name to value."""
        ask: str = r.choice(self.kind["asks"])
        arguments: dict[str, Any] = {}
        text = ask.replace("{n}", self.plain)
        for slot, (_, _, value) in self.kind["slots"].items():
            mark = "{" + slot.rstrip("?") + "}"
            if mark in text:
                drawn = value(r)
                arguments[self.names[slot.rstrip("?")]] = drawn
                shown = str(drawn)
                text = text.replace(mark, quoted(r, shown))
        return polite(r, text), arguments


def quoted(r: Random, text: str) -> str:
    """The value as people write it: bare, in quotes, in backticks, or in a fence when it has lines."""
    if "\n" in text:
        return r.choice([f"\n```\n{text}\n```\n", f"'{text}'", f"\n{text}\n"]).rstrip()
    if " " in text and "'" not in text:
        return r.choice([text, f"'{text}'", f'"{text}"', f'"{text}"', f"`{text}`"]) if '"' not in text else text
    return r.choice([text, text, text, text, f"`{text}`", f'"{text}"' if '"' not in text else text])


def polite(r: Random, text: str) -> str:
    draw = r.random()
    if draw < 0.12:
        return "Please " + text[0].lower() + text[1:]
    if draw < 0.18:
        return text + ", please." if text[-1].isalnum() else text
    if draw < 0.24 and not text.endswith("?"):
        return "Can you " + text[0].lower() + text[1:] + "?"
    if draw < 0.28:
        return r.choice(["Hi! ", "Hey, ", "Ok, ", "Next: ", "Now ", "Thanks. "]) + text
    if draw < 0.36:
        return text[0].lower() + text[1:]
    return text + "." if draw < 0.6 and text[-1].isalnum() else text


def toolbox(r: Random, low: int = 1, high: int = 8) -> list[Tool]:
    """Between `low` and `high` tools; at times several of one kind, or all of the job and text kinds, as an agent has them."""
    if r.random() < 0.35:
        kinds = r.sample(ARCHETYPES[-7:], k=r.randint(max(low, 2), 7))
    else:
        kinds = r.sample(ARCHETYPES, k=r.randint(low, high))
    tools = [Tool(r, kind) for kind in kinds]
    if r.random() < 0.1:
        tools.append(Tool(r, r.choice(kinds)))
    r.shuffle(tools)
    unique = {tool.name: tool for tool in tools}
    return list(unique.values())


def call(name: str, arguments: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}


def asks(*calls: dict[str, Any], content: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text}


SYSTEMS = ["You are a helpful assistant.", "You are a coding assistant.", "You help with everyday tasks.", "Use tools when they help.", "Be brief.", "You are an agent in a code editor.", "You answer questions and call functions.", "You are a careful assistant. Call a tool only when it is needed."]


def opening(r: Random) -> list[dict[str, Any]]:
    return [{"role": "system", "content": r.choice(SYSTEMS)}] if r.random() < 0.6 else []


def declared(tools: list[Tool]) -> list[dict[str, Any]]:
    return [tool.schema for tool in tools]


# --------------------------------------------------------------------------------------------------------- families


def single(r: Random) -> Example:
    """One request, one call; now and then the request is the second or third of a conversation."""
    tools, messages = toolbox(r), opening(r)
    for turn in range(r.choice([1, 1, 1, 2, 3])):
        tool = r.choice(tools)
        text, arguments = tool.request(r)
        if turn:
            messages.append(result(outcome(r, text)))
            messages.append(says(r.choice(["Done.", "Here it is.", "That is done."])))
        messages += [user(text), asks(call(tool.name, arguments))]
    return {"messages": messages, "tools": declared(tools)}


def outcome(r: Random, text: str) -> str:
    return r.choice(["ok", "done", json.dumps({"status": "ok"}), sentence(r), f"id: {identifier(r)}", json.dumps({word(r): r.randint(1, 99)})])


def answered(r: Random) -> Example:
    """A call, what it returned, and an answer that says it."""
    tools, messages = toolbox(r, 1, 4), opening(r)
    tool = r.choice(tools)
    text, arguments = tool.request(r)
    draw = r.random()
    if draw < 0.35:
        field, value = r.choice(["status", "price", "owner", "count", "state", "total", "name"]), r.choice([word(r), str(r.randint(1, 999)), r.choice(PEOPLE)])
        back, final = json.dumps({field: value}), r.choice([f"The {field} is {value}.", f"{field}: {value}."])
    elif draw < 0.6:
        text_back = sentence(r)
        back, final = text_back, r.choice([f"It says: {text_back}", f"Here is the result: {text_back}"])
    elif draw < 0.75:
        problem = r.choice(["not found", "permission denied", "timeout", "no such id", "exit code 1", "invalid argument"])
        back, final = f"error: {problem}", f"That failed: {problem}."
    else:
        back, final = r.choice(["ok", "done", "success", ""]), "Done."
    return {"messages": [*messages, user(text), asks(call(tool.name, arguments)), result(back), says(final)], "tools": declared(tools)}


def parallel(r: Random) -> Example:
    """Two requests in one sentence, two calls at once."""
    tools, messages = toolbox(r, 1, 5), opening(r)
    first, second = r.choice(tools), r.choice(tools)
    (a, x), (b, y) = first.request(r), second.request(r)
    text = a.rstrip(".?!") + r.choice([" and then ", " and ", ". Also ", ", and "]) + b[0].lower() + b[1:]
    return {"messages": [*messages, user(text), asks(call(first.name, x), call(second.name, y, 1))], "tools": declared(tools)}


def chain(r: Random) -> Example:
    """Open a text, change it, save it, look again: each call copies from what came back."""
    opener, saver = Tool(r, ARCHETYPES[14]), Tool(r, ARCHETYPES[15])
    runner, reader, waiter, closer = (Tool(r, ARCHETYPES[k]) for k in (16, 17, 19, 20))
    messages = opening(r)
    if r.random() < 0.55:
        where, old, new = path(r), word(r), word(r)
        before = r.choice([f"{old} = {r.randint(1, 99)}", f"name: {old}", f"def {old}():\n    pass", f"{phrase(r, 1, 3)} {old}", f"{old}\n{word(r)}"])
        after = before.replace(old, new)
        look = call(opener.name, {opener.names["p"]: where})
        write = call(saver.name, {saver.names["p"]: where, saver.names["b"]: after})
        steps = [user(r.choice([f"In {where}, change {old} to {new}", f"Replace {old} by {new} in {where}", f"Rename {old} to {new} in {where} and check it"])), asks(look), result(before), asks(write), result("ok")]
        if r.random() < 0.6:
            steps += [asks(look), result(after)]
        steps.append(says(f"{old} is now {new} in {where}."))
        tools = [opener, saver, *r.sample([runner, reader], k=r.randint(0, 2))]
    else:
        line, ident, printed = shell(r), identifier(r), sentence(r)
        steps = [user(r.choice([f"Run {line} and tell me what it prints", f"Execute {line} and show me the output"])), asks(call(runner.name, {runner.names["c"]: line})), result(r.choice([ident, f"id: {ident}", json.dumps({"id": ident})]))]
        if r.random() < 0.5:
            steps += [asks(call(waiter.name, {waiter.names["i"]: ident})), result(r.choice(["done", "exit code 0", "finished"]))]
        steps += [asks(call(reader.name, {reader.names["i"]: ident})), result(printed)]
        if r.random() < 0.4:
            steps += [asks(call(closer.name, {closer.names["i"]: ident})), result("ok")]
        steps.append(says(f"It printed: {printed}"))
        tools = [runner, reader, waiter, closer]
    r.shuffle(tools)
    return {"messages": [*messages, *steps], "tools": declared(tools)}


def irrelevant(r: Random) -> Example:
    """Tools are there, none is needed: answer in words."""
    question, answer = r.choice(QUESTIONS)(r)
    return {"messages": [*opening(r), user(question), says(answer)], "tools": declared(toolbox(r))}


def lengthy(r: Random) -> Example:
    """A long text comes back from a tool, then the talk goes on: what was declared is far away, and still holds."""
    tools, messages = toolbox(r, 2, 6), opening(r)
    first, second = r.choice(tools), r.choice(tools)
    (text, arguments), (after, more) = first.request(r), second.request(r)
    lines = [r.choice([sentence, snippet, path])(r) for _ in range(r.randint(10, 50))]
    messages += [user(text), asks(call(first.name, arguments)), result("\n".join(lines)), says(f"It starts with: {lines[0]}"), user(after), asks(call(second.name, more))]
    return {"messages": messages, "tools": declared(tools)}


def missing(r: Random) -> Example:
    """A request that lacks an argument: ask for it, then call."""
    tools = toolbox(r, 1, 5)
    tool = r.choice(tools)
    _, arguments = tool.request(r)
    if not arguments:
        return single(r)
    key = list(arguments)[-1]
    bare = r.choice([f"{r.choice(tool.kind['verbs']).replace('_', ' ').title()} a {tool.plain}", f"I want to {r.choice(tool.kind['verbs']).replace('_', ' ')} a {tool.plain}"])
    messages = [*opening(r), user(bare), says(f"Which {key}?")]
    if len(arguments) == 1:
        messages += [user(str(arguments[key])), asks(call(tool.name, arguments))]
    return {"messages": messages, "tools": declared(tools)}


def talk(r: Random) -> Example:
    messages = opening(r)
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        question, answer = r.choice(QUESTIONS)(r)
        messages += [user(question), says(answer)]
    return {"messages": messages}


# -------------------------------------------------------------------------------------------------------- questions

CAPITALS = dict(zip("France England Germany Spain Italy Austria Portugal Ireland Norway Greece Egypt Kenya Peru Ecuador Japan India Sweden Finland Poland Hungary Cuba Chile Canada Turkey".split(), "Paris London Berlin Madrid Rome Vienna Lisbon Dublin Oslo Athens Cairo Nairobi Lima Quito Tokyo Delhi Stockholm Helsinki Warsaw Budapest Havana Santiago Ottawa Ankara".split(), strict=True))
TERMS = {
    "a variable": "A variable is a name that refers to a value.", "a function": "A function is a named piece of code that can be called with arguments.", "a list": "A list is an ordered collection that can be changed.",
    "a tuple": "A tuple is an ordered collection that cannot be changed.", "a dictionary": "A dictionary maps keys to values.", "a set": "A set is a collection without duplicates.", "a loop": "A loop repeats a block of code.",
    "a class": "A class describes objects that share data and behaviour.", "a module": "A module is a file of Python code that can be imported.", "an exception": "An exception is an error that can be caught while a program runs.",
    "recursion": "Recursion is when a function calls itself.", "a decorator": "A decorator is a function that wraps another function.", "a generator": "A generator yields values one at a time.", "git": "Git is a version control system.",
    "a compiler": "A compiler translates source code into another form.", "an interpreter": "An interpreter runs source code directly.", "a database": "A database stores data so that it can be searched.", "an API": "An API is the interface through which programs talk to each other.",
    "a test": "A test checks that code does what it should.", "a string": "A string is a sequence of characters.", "an integer": "An integer is a whole number.", "a boolean": "A boolean is either true or false.", "JSON": "JSON is a text format for data.",
    "a lambda": "A lambda is a small function without a name.", "a pull request": "A pull request asks others to review and merge a change.", "a virtual environment": "A virtual environment keeps the packages of one project apart from others.", "an adapter": "An adapter is a small set of weights added to a model.",
    "machine learning": "Machine learning is when programs learn from data.", "a token": "A token is a piece of text that a model reads.", "a cache": "A cache keeps results so that they need not be computed again.", "a thread": "A thread is a line of execution inside a process.", "a process": "A process is a running program.",
}  # fmt: skip
OPPOSITES = dict(zip("hot big fast up left open early light high full wet long hard old rich happy day in on first".split(), "cold small slow down right closed late dark low empty dry short soft new poor sad night out off last".split(), strict=True))
PYTHON = {
    "adds two numbers": ("add", "a, b", "return a + b"), "multiplies two numbers": ("multiply", "a, b", "return a * b"), "subtracts one number from another": ("subtract", "a, b", "return a - b"), "squares a number": ("square", "x", "return x * x"),
    "returns the larger of two numbers": ("larger", "a, b", "return max(a, b)"), "tells whether a number is even": ("is_even", "n", "return n % 2 == 0"), "tells whether a number is odd": ("is_odd", "n", "return n % 2 == 1"), "reverses a string": ("reverse", "text", "return text[::-1]"),
    "counts the words in a text": ("count_words", "text", "return len(text.split())"), "sums a list": ("total", "numbers", "return sum(numbers)"), "returns the first item of a list": ("first", "items", "return items[0]"), "returns the last item of a list": ("last", "items", "return items[-1]"),
    "computes the factorial of a number": ("factorial", "n", "return 1 if n <= 1 else n * factorial(n - 1)"), "joins words with spaces": ("join_words", "words", 'return " ".join(words)'), "makes a text upper case": ("shout", "text", "return text.upper()"), "removes duplicates from a list": ("unique", "items", "return list(dict.fromkeys(items))"),
    "computes the average of a list": ("average", "numbers", "return sum(numbers) / len(numbers)"), "converts Celsius to Fahrenheit": ("to_fahrenheit", "celsius", "return celsius * 9 / 5 + 32"), "greets a person": ("greet", "name", 'return f"Hello, {name}!"'), "doubles every number in a list": ("double_all", "numbers", "return [2 * n for n in numbers]"),
    "reads a file": ("read_text", "path", "with open(path) as file:\n        return file.read()"), "counts the lines of a file": ("count_lines", "path", "with open(path) as file:\n        return sum(1 for _ in file)"), "tells whether a text is a palindrome": ("is_palindrome", "text", "return text == text[::-1]"), "sorts a list": ("ordered", "items", "return sorted(items)"),
}  # fmt: skip


def q_capital(r: Random) -> tuple[str, str]:
    land = r.choice(list(CAPITALS))
    return r.choice([f"What is the capital of {land}?", f"Capital of {land}?", f"Which city is the capital of {land}?"]), r.choice([f"The capital of {land} is {CAPITALS[land]}."])


def q_sum(r: Random) -> tuple[str, str]:
    a, b = r.randint(0, 20), r.randint(0, 20)
    sign, value, said = r.choice([("+", a + b, "plus"), ("-", a - b, "minus"), ("*", a * b, "times")])
    return r.choice([f"What is {a} {sign} {b}?", f"{a} {sign} {b}", f"How much is {a} {said} {b}?", f"Compute {a} {sign} {b}"]), f"{a} {sign} {b} = {value}."


def q_story(r: Random) -> tuple[str, str]:
    who, a, b, what = r.choice(PEOPLE), r.randint(2, 15), r.randint(1, 9), r.choice("apples books coins pens eggs cards".split())
    if r.random() < 0.5 or b > a:
        return f"{who} has {a} {what} and gets {b} more. How many {what} does {who} have?", f"{a} + {b} = {a + b}, so {who} has {a + b} {what}."
    return f"{who} has {a} {what} and gives away {b}. How many are left?", f"{a} - {b} = {a - b}, so {a - b} {what} are left."


def q_larger(r: Random) -> tuple[str, str]:
    a, b = r.sample(range(1000), 2)
    return r.choice([f"Which is larger, {a} or {b}?", f"Is {a} or {b} the bigger number?"]), f"{max(a, b)} is larger than {min(a, b)}."


def q_term(r: Random) -> tuple[str, str]:
    term = r.choice(list(TERMS))
    return r.choice([f"What is {term}?", f"Explain {term}", f"Define {term}", f"Tell me what {term} is", f"What does {term} mean in programming?"]), TERMS[term]


def q_opposite(r: Random) -> tuple[str, str]:
    a = r.choice(list(OPPOSITES))
    return r.choice([f"What is the opposite of {a}?", f"Opposite of {a}?"]), f"The opposite of {a} is {OPPOSITES[a]}."


def q_python(r: Random) -> tuple[str, str]:
    what = r.choice(list(PYTHON))
    name, params, body = PYTHON[what]
    return r.choice([f"Write a function that {what}.", f"Write a Python function that {what}", f"Python function that {what}?", f"Show me code that {what}"]), f"```python\ndef {name}({params}):\n    {body}\n```"


def q_hello(r: Random) -> tuple[str, str]:
    return r.choice([
        (r.choice(["Hello", "Hi", "Hello!", "Hi there", "Good morning", "Hey"]), "Hello! How can I help?"), (r.choice(["Thanks", "Thank you!", "Great, thanks", "Thank you very much"]), "You are welcome."),
        (r.choice(["Who are you?", "What is your name?", "What are you?"]), "I am nano, a small language model."), (r.choice(["Bye", "Goodbye", "See you"]), "Goodbye!"),
        (r.choice(["What can you do?", "How can you help me?"]), "I can answer small questions and call the tools I am given."), (r.choice(["How are you?", "How are you today?"]), "I am fine, thank you."),
    ])  # fmt: skip


def q_repeat(r: Random) -> tuple[str, str]:
    text = phrase(r, 1, 5)
    return r.choice([f"Repeat after me: {text}", f"Say {quoted(r, text)}", f"Write exactly: {text}"]), text


def q_count(r: Random) -> tuple[str, str]:
    words = phrase(r, 2, 6)
    if r.random() < 0.5:
        return f"How many words are in: {words}", f"There are {len(words.split())} words."
    n = r.randint(2, 9)
    return f"Count to {n}", ", ".join(str(k) for k in range(1, n + 1))


def q_color(r: Random) -> tuple[str, str]:
    thing, color = r.choice([("the sky", "blue"), ("grass", "green"), ("snow", "white"), ("coal", "black"), ("a lemon", "yellow"), ("blood", "red"), ("an orange", "orange")])
    return r.choice([f"What color is {thing}?", f"Which color does {thing} have?"]), f"{thing[0].upper() + thing[1:]} is {color}."


def q_next(r: Random) -> tuple[str, str]:
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Monday".split()
    k = r.randint(0, 6)
    return r.choice([f"Which day comes after {days[k]}?", f"What day follows {days[k]}?"]), f"{days[k + 1]} comes after {days[k]}."


def q_given(r: Random) -> tuple[str, str]:
    who, place, thing = r.choice(PEOPLE), r.choice(CITIES), r.choice(COMMON)
    if r.random() < 0.5:
        return f"{who} lives in {place}. Where does {who} live?", f"{who} lives in {place}."
    return f"{who} likes {thing}. What does {who} like?", f"{who} likes {thing}."


QUESTIONS = (q_capital, q_sum, q_sum, q_story, q_larger, q_term, q_term, q_opposite, q_python, q_python, q_hello, q_repeat, q_count, q_color, q_next, q_given)

FAMILIES: tuple[tuple[Callable[[Random], Example], float], ...] = ((single, 45), (answered, 9), (parallel, 5), (chain, 9), (irrelevant, 9), (missing, 4), (lengthy, 2), (talk, 17))


def example(seed: int, index: int) -> Example:
    """The example with this number: a function of (seed, index) alone, so a corpus can be extended or resumed anywhere."""
    r = Random(f"{seed}:{index}")  # a text seed is hashed with sha512: the same on every machine
    return r.choices([family for family, _ in FAMILIES], weights=[share for _, share in FAMILIES])[0](r)


def corpus(seed: int, start: int, count: int) -> Iterator[Example]:
    return (example(seed, index) for index in range(start, start + count))
