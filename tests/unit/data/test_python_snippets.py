"""Python 2 in every place where an assistant writes code."""

from __future__ import annotations

import textwrap
import time

import msgspec
import pytest

from punie_build.data.example import Example, decode_example
from punie_build.data.filters.python2 import requires_python2
from punie_build.data.filters.python_snippets import fenced_blocks, python_code
from punie_build.data.filters.union import PythonVersion

OLD = "import os\n\n\ndef f(d):\n    for k in xrange(3):\n        print k\n    return d\n\n\nprint f(3)\n"
NEW = OLD.replace("xrange", "range").replace("print k", "print(k)").replace("print f(3)", "print(f(3))")


def answer(text: str = "", **arguments: object) -> Example:
    message: dict[str, object] = {"role": "assistant", "content": text}
    if arguments:
        function = {"name": "execute_code", "arguments": msgspec.json.encode(arguments).decode()}
        message["tool_calls"] = [{"id": "1", "function": function}]
    return decode_example(msgspec.json.encode({"messages": [{"role": "user", "content": "In Python?"}, message]}))


def session(code: str) -> str:
    head, tail = code.split("\n\n\n")[1:]
    lines = head.split("\n")
    block = [f">>> {lines[0]}", *(f"... {line}" for line in lines[1:]), "... ", "7", f">>> {tail.strip()}", "8"]
    return "\n".join(block)


def added(code: str) -> str:
    return "--- a/x.py\n+++ b/x.py\n@@ -0,0 +1,9 @@\n" + "".join(f"+{line}\n" for line in code.splitlines())


def numbered(code: str) -> str:
    return "".join(f"{number:6}\t{line}\n" for number, line in enumerate(code.splitlines(), 1))


PLACES = {
    "double quotation": lambda code: answer(textwrap.indent(f"```python\n{code}```\n", ">> ", lambda _: True)),
    "HTML": lambda code: answer(f'<pre><code class="python">{code}</code></pre>'),
    "indented after a colon": lambda code: answer(f"An example:\n\n{textwrap.indent(code, '    ')}\nThat is all."),
    "here-document": lambda code: answer(f"```bash\npython - <<'EOF'\n{code}EOF\n```"),
    "here-document to a file": lambda code: answer(f"```sh\ncat > x.py <<EOF\n{code}EOF\npython x.py\n```"),
    "numbered lines": lambda code: answer(f"```\n{numbered(code)}```"),
    "list with -c": lambda code: answer(command=["python", "-c", code.replace("import os\n", "")]),
    "fence": lambda code: answer(f"Here:\n```python\n{code}```\n"),
    "capital": lambda code: answer(f"```Python\n{code}```"),
    "version": lambda code: answer(f"```py2\n{code}```"),
    "title": lambda code: answer(f'```python title="x.py"\n{code}```'),
    "attributes": lambda code: answer(f"```{{.python .numberLines}}\n{code}```"),
    "tildes": lambda code: answer(f"~~~python\n{code}~~~"),
    "four": lambda code: answer(f"````python\n{code}````"),
    "not closed": lambda code: answer(f"```python\n{code}"),
    "list": lambda code: answer(f"1. Do:\n\n   ```python\n{textwrap.indent(code, '   ')}   ```\n"),
    "item": lambda code: answer(f"- ```python\n{textwrap.indent(code, '  ')}  ```\n"),
    "quoted": lambda code: answer("\n".join(f"> {line}" for line in f"```python\n{code}```".split("\n"))),
    "CRLF": lambda code: answer(f"```python\n{code}```\n".replace("\n", "\r\n")),
    "magic": lambda code: answer(f"```python\n%matplotlib inline\n!pip install x\n{code}os.path?\n```"),
    "method": lambda code: answer(f"```python\n{textwrap.indent(code, '    ')}```"),
    "cut end": lambda code: answer(f"```python\n{code}\n\ndef g(x):\n    s = '''no"),
    "cut docstring": lambda code: answer(
        f'```python\n{code}\n\ndef g(x):\n    """Do it.\n\n' + "    x = the rest\n" * 9
    ),
    "cut try": lambda code: answer(
        f"```python\n{code}\ndef g(x):\n  for y in x:\n    try:\n      a = 1\n      if y == ("
    ),
    "docstring with a session": lambda code: answer(
        f'```python\n{code}\ndef g(x):\n    """\n    >>> g(1)\n    2\n    """'
    ),
    "cut begin": lambda code: answer(f"```python\n    else:\n        y)\n{code}```"),
    "plain": answer,
    "session": lambda code: answer(f"```pycon\n{session(code)}\n```"),
    "plain session": lambda code: answer(f"Try:\n\n{session(code)}"),
    "diff": lambda code: answer(f"```diff\n{added(code)}```"),
    "argument": lambda code: answer(code=code),
    "file": lambda code: answer(path="a/b.py", content=code),
    "nested": lambda code: answer(edits=[{"old_str": "x = 1\ny = 2\n", "new_str": code}]),
    "argument with fence": lambda code: answer(text=f"```python\n{code}```\n"),
    "argument with CRLF": lambda code: answer(code=code.replace("\n", "\r\n")),
    "argument with diff": lambda code: answer(patch=added(code)),
}


@pytest.mark.parametrize("place", PLACES)
def test_python_2_is_found_in_every_place_and_python_3_in_none(place: str):
    keep = PythonVersion().predicate()
    assert not keep(PLACES[place](OLD))
    assert keep(PLACES[place](NEW))


@pytest.mark.parametrize(
    "example",
    [
        answer("```diff\n@@ -1,2 +1,2 @@\n-print 'a'\n+print('a')\n```"),
        answer("```diff\n--- a/x.rb\n+++ b/x.rb\n@@ -1,2 +1,2 @@\n+print 'a'\n```"),
        answer(old_str="print 'a'\nprint 'b'\n", new_str="print('a')\nprint('b')\n"),
        answer(path="x.rb", content="print 'a'\nprint 'b'\n"),
        answer(language="perl", code="print 'a';"),
        answer(query="print statement"),
        answer("```perl\nprint 'a'\n```"),
        answer("```\n%%bash\nprint x\n```"),
        answer("```python\nprint('%s'\n%  x)\n```"),
    ],
)
def test_old_sides_and_other_languages_do_not_count(example: Example):
    assert PythonVersion().predicate()(example)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 2000,
        "[" * 100_000,
        "`" * 1_000_000,
        "(" * 2000 + "print x",
        "if x:\n" * 5000,
        "print `" * 50_000,
        "~~~\n" * 9,
        "<pre>" * 50_000,
        "python <<EOF\n" * 20_000,
        "a:" * 50_000,
    ],
)
def test_no_text_raises_or_takes_long(text: str):
    start = time.process_time()
    for example in (answer(f"```python\n{text}\n```"), answer(text), answer(code=text)):
        [requires_python2(code) for code in python_code(example)]
    assert time.process_time() - start < 10


def test_arguments_of_any_depth_are_read():
    deep: object = "print 'x'"
    for _ in range(200):
        deep = [deep]
    assert PythonVersion().predicate()(answer(code=deep))


def test_fenced_blocks_have_a_language_and_a_body():
    text = "a ```python\nx\n```\n> ~~~ JS\n> y\n> ~~~\n```\nz"
    assert list(fenced_blocks(text)) == [("python", "x"), ("js", "y"), ("", "z")]
