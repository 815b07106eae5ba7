"""Find the Python code in an example: fenced blocks, REPL sessions, new sides of diffs, arguments of calls."""

from __future__ import annotations

import ast
import html
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from punie_build.data.example import Example, Function

_FENCE = re.compile(r"^(?P<prefix>.*?)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$")
_MARGIN = re.compile(r"[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?[ \t>]*")  # of quotations and items of lists
_LABEL = re.compile(r"[\w+#-]+")
_PYTHON = frozenset(["python", "python2", "python3", "py", "py2", "py3", "pycon", "ipython", "jupyter", "python-repl"])
_PYTHON |= frozenset(["python2.7", "sage", "gyp", "pyi", "ipython2", "ipython3", "python-console", "doctest"])
_DIFF = frozenset(["diff", "patch", "udiff"])
_TEXT = frozenset(["text", "txt", "plain", "plaintext", "console", "code", "output"])  # count only as REPL sessions
_SHELL = frozenset(["bash", "sh", "shell", "zsh", "console", "terminal", "shell-session", ""])
_HEREDOC = re.compile(  # of at most 20,000 characters, so that no text takes more than linear time
    r"^(?=[^\n]{0,300}(?:\bpython|\.py\b))[^\n]{0,300}<<-?[ \t]*(['\"]?)(\w+)\1[^\n]*\n(.{1,20000}?)^[ \t]*\2[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(r"""\bpython[\d.]* (?:-\w )*-c[ \t]+(?:"((?:[^"\\]|\\.)*)"|'([^']*)')""")
_HTML_END = re.compile(r"</(?:pre|code)>")
_INDENTED = re.compile(
    r"(?:^|\n)[^\s#][^\n]*:[^\n]{0,40}\n[ \t]*\n((?:(?: {2,}|\t)[^\n]*\n?|[ \t]*\n)+)"
)  # after "Example:"
_NUMBERED = re.compile(r"[ \t]*\d+(?:\t|[ ]*[|:][ ]?|[ ]{1,2})")  # as `cat -n` writes lines
_CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import|print\b|for .+:|while .+:|if .+:|raise |exec |\w+ = )", re.MULTILINE
)
_SPAN = re.compile(r"`([^`\n]+)`")
_INLINE_PRINT = re.compile(r"""(?<![{;'"(])\bprint (['"])[^'"\n]*\1""")  # `print 'x'` in prose; awk's follows a brace
_PROMPT = re.compile(r"^[ \t]*(?:>>>(?: |$)|In \[\d+\]: ?)", re.MULTILINE)
_CONTINUATION = re.compile(r"[ \t]*(?:\.\.\.(?: |$)|\.\.\.:(?: |$))")
_HUNK = re.compile(r"^@@.*|^diff --git .*|^\*\*\* .*|^Index: .*", re.MULTILINE)
_NEW_FILE = re.compile(r"^(?:\+\+\+|\*\*\* (?:Add|Update) File:) +(\S+)", re.MULTILINE)
_DIFF_LINES = re.compile(r"^@@ .*@@|^\*\*\* Begin Patch|^diff --git |^--- .*\n\+\+\+ ", re.MULTILINE)
_OLD_SIDE = re.compile(r"(?:^|_)(?:old|before|original|search|pattern|query)(?:_|$)|^old", re.IGNORECASE)
_CODE_KEY = re.compile(
    r"code|source|script|python|cell|snippet|program|statement|expression|new_str|content", re.IGNORECASE
)
_PATH = re.compile(r"[\w./\\~-]*\.(\w{1,8})$")


class FencedBlock(NamedTuple):
    """The body of a fenced block, and its language in lower case, "" without one."""

    language: str
    body: str


def python_code(example: Example) -> Iterator[str]:
    """Yield the Python code that the assistant writes, in its messages and in the arguments of its calls."""
    about_python = any("python" in text.lower() for text in example.texts("system", "user", "assistant"))
    for text in (*example.texts("assistant"), *example.reasoning()):
        yield from code_in_text(_unix_lines(text), about_python)
    for call in example.calls():
        yield from code_in_call(call)


def code_in_text(text: str, about_python: bool) -> Iterator[str]:
    """Yield the code of a message: of its fenced blocks, else its code spans and inline `print 'x'`, or all of it."""
    blocks = list(fenced_blocks(text))
    for block in blocks:
        yield from code_in_block(block)
    if blocks:
        return
    if about_python:
        yield from code_in_html(text)
        yield from (match[1] for match in _INDENTED.finditer(text))
    if about_python and not ("\n" in text and _is_python3(text)):
        yield from _SPAN.findall(text)
        yield from (match.group() for match in _INLINE_PRINT.finditer(text))
    if _CODE_LINE.search(text) or _PROMPT.search(text) or _DIFF_LINES.search(text):
        yield from code_in_block(FencedBlock("", text))


def _is_python3(text: str) -> bool:
    """Return whether Python 3 parses the text. Spans in the comments of code are no code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def code_in_block(block: FencedBlock) -> Iterator[str]:
    """Yield the parts of a block that are code on their own: statements of a session, hunks of a diff, or the body."""
    language, body = block
    if language in _SHELL:
        yield from code_in_shell(body)
    if language not in _PYTHON | _DIFF | _TEXT | {""}:
        return
    if language in _DIFF or _DIFF_LINES.search(body):
        yield from new_sides(body)
    elif prompt := _PROMPT.search(body):
        yield from session_statements(body)
        if language not in _TEXT and _CODE_LINE.search(
            body, 0, prompt.start()
        ):  # a file whose docstrings have sessions
            yield body
    elif language not in _TEXT:
        yield without_line_numbers(body)


def code_in_shell(text: str) -> Iterator[str]:
    """Yield the Python of a shell script: here-documents for `python` or a file `.py`, and `python -c`."""
    if "<<" in text:
        yield from (match[3] for match in _HEREDOC.finditer(text))
    yield from (match[1] or match[2] for match in _COMMAND.finditer(text) if match[1] or match[2])


def code_in_html(text: str) -> Iterator[str]:
    """Yield the texts of the elements `pre` and `code`."""
    for part in _HTML_END.split(text)[:-1]:
        if (start := max(part.rfind("<pre"), part.rfind("<code"))) >= 0:
            yield html.unescape(part[start:].partition(">")[2])


def without_line_numbers(text: str) -> str:
    """Return a text without the number before each line, or the text unchanged if a line has none."""
    lines = text.split("\n")
    matches = [_NUMBERED.match(line) for line in lines if line.strip()]
    if len(matches) < 2 or not all(matches):
        return text
    return "\n".join(line[match.end() :] if (match := _NUMBERED.match(line)) else line for line in lines)


def code_in_call(call: Function) -> Iterator[str]:
    """Yield the code in the arguments of a call. Old sides of edits and the content of other files do not count."""
    arguments: Any = call.arguments
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, RecursionError):
            return
    for key, argument, is_python in _argument_texts(arguments, 0):
        text = _unix_lines(argument)
        if "\n" not in text and not _CODE_KEY.search(key):
            continue
        if any(fenced_blocks(text)):
            yield from code_in_text(text, about_python=False)
        elif is_python and (_CODE_LINE.search(text) or _PROMPT.search(text) or _DIFF_LINES.search(text)):
            yield from code_in_block(FencedBlock("", text))


def _argument_texts(value: Any, depth: int, key: str = "", is_python: bool = True) -> Iterator[tuple[str, str, bool]]:
    """Yield (key, text, whether the text may be Python) of each string in the arguments, to a depth of 50."""
    if isinstance(value, str):
        if not _OLD_SIDE.search(key):
            yield key, value, is_python
    elif isinstance(value, dict) and depth < 50:
        suffixes = {match.group(1).lower() for text in value.values() if (match := _path(text))}
        language = value.get("language") or value.get("lang")
        foreign = bool(suffixes) and not suffixes & {"py", "pyw", "pyi", "pyx", "ipynb"}
        if isinstance(language, str):
            foreign |= language.lower() not in _PYTHON
        for name, item in value.items():
            yield from _argument_texts(item, depth + 1, str(name), is_python and not foreign)
    elif isinstance(value, list) and depth < 50:
        if "-c" in value[:-1] and "python" in str(value[0]):
            yield "code", str(value[value.index("-c") + 1]), is_python
        for item in value:
            yield from _argument_texts(item, depth + 1, key, is_python)


def _path(value: Any) -> re.Match[str] | None:
    """Return the match of a path with a suffix, None for other values."""
    return _PATH.fullmatch(value) if isinstance(value, str) and len(value) < 300 else None


def fenced_blocks(text: str) -> Iterator[FencedBlock]:
    """Yield the fenced blocks of Markdown, also indented, quoted, of tildes, or not closed. Runs in linear time."""
    mark, language, quoted, lines = "", "", 0, list[str]()
    if "```" not in text and "~~~" not in text:
        return
    for line in text.split("\n"):
        if not mark:
            if (fence := _opening(line)) is not None:
                mark, quoted = fence["mark"], fence["prefix"].count(">")
                language, lines = _language(fence["info"]), []
            continue
        body = line.lstrip(" \t>") if quoted else line.lstrip()
        if body.startswith(mark) and not body.strip().strip(mark[0]):
            yield FencedBlock(language, "\n".join(lines))
            mark = ""
        elif (end := line.rfind(mark)) > 0 and not line[end:].strip(mark[0]).strip():  # `print 3```` ends the block
            yield FencedBlock(language, "\n".join([*lines, line[:end]]))
            mark = ""
        else:
            lines.append(re.sub(rf"^(?:[ \t]*> ?){{1,{quoted}}}", "", line) if quoted else line)
    if mark:
        yield FencedBlock(language, "\n".join(lines))


def _opening(line: str) -> re.Match[str] | None:
    """Return the match of a line that opens a block. After other text only a Python label or no label opens one."""
    if "```" not in line and "~~~" not in line:
        return None
    fence = _FENCE.match(line)
    if fence is None or _MARGIN.fullmatch(fence["prefix"]):
        return fence
    return fence if not fence["info"].strip() or _language(fence["info"]) in _PYTHON else None


def _language(info: str) -> str:
    """Return the language of an info string such as `Python title="x.py"`, `{.python .numberLines}` or `python3`."""
    label = _LABEL.search(info.split("=", maxsplit=1)[0] if "=" in info.split(" ", maxsplit=1)[0] else info)
    return label.group().lower() if label else ""


def session_statements(text: str) -> Iterator[str]:
    """Yield the statements of an interactive session, without prompts and output."""
    statement: list[str] = []
    for line in text.split("\n"):
        if prompt := _PROMPT.match(line):
            if statement:
                yield "\n".join(statement)
            statement = [line[prompt.end() :]]
        elif statement and (more := _CONTINUATION.match(line)):
            statement.append(line[more.end() :])
        elif statement:
            yield "\n".join(statement)
            statement = []
    if statement:
        yield "\n".join(statement)


def new_sides(text: str) -> Iterator[str]:
    """Yield the new side of each hunk of a diff. Hunks of files that are named and are not Python are left out."""
    is_python = True
    start = 0
    for hunk in [*_HUNK.finditer(text), None]:
        part = text[start : hunk.start() if hunk else len(text)]
        lines = [line for line in part.split("\n") if not line.startswith(("---", "+++", "index ", "\\ No newline"))]
        new = [line[1:] if line[:1] in ("+", " ") else line for line in lines if not line.startswith("-")]
        if is_python and any(line.strip() for line in new):
            yield "\n".join(new)
        if hunk is not None:
            start = hunk.end()
            header = text[hunk.start() :].partition("\n@@")[0] if hunk.group()[:2] != "@@" else ""
        else:
            header = ""
        for source in (part, header[:2000]):
            if named := _NEW_FILE.search(source):
                is_python = named.group(1).endswith((".py", ".pyw", ".pyi"))


def _unix_lines(text: str) -> str:
    """Return the text with line feeds as line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
