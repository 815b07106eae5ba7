from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from punie_build import filters
from punie_build.examples import Example, Message, parse
from punie_build.filters import (
    AnyFilter,
    ContentQuality,
    EndsWithAssistant,
    Filter,
    Language,
    MinMessages,
    PythonVersion,
)
from punie_build.python2 import only_python2


def chat(user: str, assistant: str | None = None) -> Example:
    turns = [Message("user", user)] + ([Message("assistant", assistant)] if assistant is not None else [])
    return Example(tuple(turns))


CALL = parse(
    b'{"messages":[{"role":"user","content":"go"},{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]},{"role":"tool","content":""}]}'
).example

KEEPS_DROPS = [
    (
        Language(languages=("en",)),
        chat("Please explain how this function works", "It adds the two numbers and returns the result."),
        True,
    ),
    (
        Language(languages=("en",)),
        chat("Wie kann ich diese Datei in meinem Projekt finden?", "Sie liegt im Ordner mit den Tests."),
        False,
    ),
    (
        Language(languages=("de",)),
        chat("Wie kann ich diese Datei in meinem Projekt finden?", "Sie liegt im Ordner mit den Tests."),
        True,
    ),
    (Language(languages=("en",)), chat("この関数を説明してください", "二つの数を足します。"), False),
    (Language(languages=("en",)), chat("ls", "ok"), True),
    (
        Language(languages=("en",)),
        chat(
            "What does the word 漢字 mean in this English sentence?", "It means Chinese characters, as used in Japan."
        ),
        True,
    ),
    (PythonVersion(min="3.10"), chat("x", '```python\nprint "old"\n```'), False),
    (PythonVersion(min="3.10"), chat("x", "```python\nclass Foo:\n    pass\n```"), True),
    (PythonVersion(min="3.10"), chat("x", "from __future__ import annotations\nx = 1"), True),
    (PythonVersion(min="3.10"), chat("create a file with a print statement", "Use print to show a list."), True),
    (
        PythonVersion(min="3.10"),
        chat("How do I print in Python?", "Use print without parentheses: print 'Hello'"),
        False,
    ),
    (PythonVersion(min="3.10"), chat("How do I print in Python?", "Use `print 3` in Python 2."), False),
    (PythonVersion(min="3.10"), chat("Count columns with Python or awk", "awk '{print \"x\"}' file does it."), True),
    (MinMessages(messages=2), chat("x"), False),
    (MinMessages(messages=2), chat("x", "y"), True),
    (ContentQuality(), chat("x", "  "), False),
    (ContentQuality(), chat("x", "7"), True),
    (ContentQuality(), CALL, True),
    (EndsWithAssistant(), chat("x"), False),
    (EndsWithAssistant(), chat("x", "y"), True),
    (EndsWithAssistant(), CALL, False),
]


@pytest.mark.parametrize(("filter_", "example", "kept"), KEEPS_DROPS)
def test_what_each_filter_keeps_and_drops(filter_: Filter, example: Example, kept: bool):
    assert filter_.predicate()(example) is kept


def test_every_filter_is_in_the_union_in_the_table_and_says_what_it_keeps():
    classes = {
        cls for cls in vars(filters).values() if isinstance(cls, type) and issubclass(cls, Filter) and cls is not Filter
    }
    assert classes == set(get_args(AnyFilter))
    for cls in classes:
        assert cls.__doc__.startswith("Keep ")
        assert {kept for filter_, _, kept in KEEPS_DROPS if type(filter_) is cls} == {True, False}


def test_a_filter_is_a_value():
    table = {"type": "python-version", "min": "3.11"}
    assert msgspec.convert(table, AnyFilter) == PythonVersion(min="3.11")
    assert hash(Language(languages=("en",))) == hash(Language(languages=("en",)))


OLD = [
    'print "x"', "print x,", "print >>log, x", 'exec "x"', "raise E, 'm'", "try:\n    f()\nexcept E, e:\n    pass", "a <> b", "x = 0777", "x = 1L", "`x`",
    'x = ur"a"', "for i in xrange(3):\n    pass", "name = raw_input()", "d.has_key(1)", "for k, v in d.iteritems():\n    pass", "import urllib2", "from ConfigParser import SafeConfigParser",
    "isinstance(x, basestring)", "unichr(3)", "print 'a' % b", "class A:\n    def f(self):\n        print self.x", "def f((a, b)):\n    print a",
]  # fmt: skip
NOT_OLD = [
    "print('x')", "class Foo:\n    pass", "from __future__ import annotations\nx = 1", "match x:\n    case 1:\n        pass", "def f(unicode):\n    return unicode", "x = 0o777",
    "try:\n    xrange\nexcept NameError:\n    xrange = range", "async def f():\n    await g()", "x: int = 3", "f'{x!r}'", "print", "dir/x.py: app.command()", "hello world, this is prose", "", "$ ls -la", "{",
    "with (open('a') as a, open('b') as b):\n    pass", "def f(a, /, b): ...", "x = (yield)", "import queue", "import commands_of_ours", "except* E:", "x = 00", "lambda x: x", "'\\d'", "print(file=x)", "@a.b[0]\ndef f(): ...",
    "import StringIO_like", "unicode = str\nunicode(3)", "for xrange in y:\n    xrange", "a if b else c", "d.items()", "b'\\x00'", "import configparser", "raise E('m') from None", "nonlocal_ = 3", "x if y", "def has_key(): ...", "1_000",
]  # fmt: skip


@pytest.mark.parametrize("code", OLD)
def test_python_2_is_known(code: str):
    assert only_python2(code)


@pytest.mark.parametrize("code", NOT_OLD)
def test_python_3_and_what_is_no_python_are_left_alone(code: str):
    assert not only_python2(code)
