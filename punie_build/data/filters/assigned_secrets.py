"""Secrets without a shape of their own: values under names such as `VERCEL_TOKEN`, in addresses and in commands.

The name says that the value is a secret; the value must look random, because names such as `page_token` and texts such
as `token=get_token()` are common in code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

Spans = Iterator[tuple[int, int]]

MIN_RANDOM = 20  # characters of a random value under a name
MIN_PASSWORD = 8  # characters of a random password in an address or a command
MIN_CHANGES = 0.2  # changes between digits, small and capital letters, as a share of the characters
_VALUE = r"[A-Za-z0-9_+/.~%=-]{16,}"
_NAMED = (
    r"(?:(?:api|access|admin|auth|client|encryption|license|master|private|secret|service|signing)"
    r"[_-]?key(?:[_-]?base)?"
    r"|token|secret|bearer|credential)(?![A-Za-z])[_-]?\d{0,2}"
    rf"(?:[\"']?\]?\s{{0,3}}(?:=>|:=|=|:)\s{{0,3}}|[\"']\s?,\s?|\s)[\"'`]?(?P<value>{_VALUE})"
)
_NAME_START = re.compile(r"[A-Za-z0-9_.-]{0,40}\Z")
_NO_SECRET = frozenset(  # words in the names of tokens of texts and pages, and of keys that are public
    """page next csrf xsrf sync continuation cursor eos bos pad unk sep cls mask special max min start end stop public
    publishable anon foreign primary cache partition sort idempotency""".split()
)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_QUERY = (
    r"[?&;](?:access_token|api[_-]?key|auth(?:_?token)?|client_secret|key|secret|sig|signature|token)="
    rf"(?P<value>{_VALUE})"
)
_ADDRESS = (
    r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,24}://"
    r"(?P<user>[^\s:/@\"'`<>]{0,80}):(?P<value>[^\s/@\"'`]{3,200})@[\w\[.-]"
)
_LONE = r"://(?P<value>[A-Za-z0-9_-]{20,200})@[\w.-]"
_WORD = r"(?P<quote>[\"'])?(?P<value>(?(quote)[^\"'\n]{3,200}|[^\s\"'&;|`]{3,200}))"
_COMMANDS = (  # (words of which the text has one, whether the value must look random, pattern)
    (
        ("pgpassword", "mysql_pwd", "rediscli_auth", "sshpass", "restic_password", "borg_passphrase"),
        False,
        rf"\b(?:PGPASSWORD|MYSQL_PWD|REDISCLI_AUTH|SSHPASS|RESTIC_PASSWORD|BORG_PASSPHRASE)={_WORD}",
    ),
    (("sshpass",), False, rf"\bsshpass\s+-p\s*{_WORD}"),
    (("curl",), False, rf"\bcurl\b[^\n|;]{{0,200}}?\s(?:-u|--user)[ =][\"']?[^\s:\"'@]{{1,80}}:{_WORD}"),
    (("machine",), False, rf"\bmachine\s+\S+\s+login\s+\S+\s+password\s+{_WORD}"),
    (("mysql",), True, rf"\bmysql(?:dump|admin)?\b[^\n|;]{{0,200}}?\s-p(?![ -]){_WORD}"),
    (("--pass",), True, rf"\s--(?:password|passphrase)[ =]{_WORD}"),
    (("passw", "pwd=", "passphrase"), True, rf"[?&;](?:password|passwd|pwd)={_WORD}"),
    (
        ("passw", "pwd", "passphrase"),
        True,
        rf"(?<![A-Za-z])(?:password|passwd|passphrase|pwd)[\"']?\s{{0,3}}[:=]\s{{0,3}}{_WORD}",
    ),
)
_TEMPLATE = re.compile(
    r"[{}<>]|^\$[A-Za-z]|\$[({]|%[(A-Z]|\*\*\*|\.\.\.|^[xX.*_-]+$|^\[|\]$|^(?:os|process|config|settings|env)\."
)
_COMMON = frozenset(
    """admin changeme default dummy example foobar guest hunter2 letmein minio minioadmin mypass mypassword none
    null pass passwd password passwort postgres pw pwd redacted root secret string test testing tiger token user
    username""".split()
)


def named_tokens(text: str, lower: str, start: int, end: int) -> Spans:
    """Yield the random values in a part of a text that are under names of secrets, or in queries of addresses."""
    part = lower[start:end]
    if any(word in part for word in ("key", "token", "secret", "bearer", "credential")):
        for match in _compiled(_NAMED).finditer(text, start, end):
            if is_random(match["value"]) and not _is_public(text, match.start(), match.start("value")):
                yield match.span("value")
    if "=" in part and ("?" in part or "&" in part):
        matches = _compiled(_QUERY).finditer(text, start, end)
        yield from (match.span("value") for match in matches if is_random(match["value"]))


def address_tokens(text: str) -> Spans:
    """Yield the random passwords in addresses, and the random values in the place of a user there."""
    if "://" in text and "@" in text:
        yield from (match.span("value") for match in _compiled(_LONE).finditer(text) if is_random(match["value"]))
        yield from (span for span in _in_addresses(text) if is_random(text[slice(*span)], MIN_PASSWORD))


def _is_public(text: str, start: int, end: int) -> bool:
    """Whether the name that has the word at `start` is that of a public key or of a token of a text or a page."""
    prefix = _NAME_START.search(text, max(start - 40, 0), start)
    name = (prefix[0] if prefix else "") + text[start:end]
    return bool(_NO_SECRET.intersection(re.split(r"[^a-z]+", _HUMP.sub("_", name).lower())))


def written_passwords(text: str, lower: str) -> Spans:
    """Yield passwords in addresses, and random ones in commands, queries and assignments without quotes."""
    if "://" in text and "@" in text:
        yield from _in_addresses(text)
    for words, must_be_random, pattern in _COMMANDS:
        for match in _compiled(pattern).finditer(text) if any(word in lower for word in words) else ():
            is_secret = not must_be_random or is_random(match["value"], MIN_PASSWORD)
            if is_secret and not is_template(match["value"]):
                yield match.span("value")


def is_template(value: str) -> bool:
    """Whether a password stands for one: a variable, a common word, or letters such as `xxx`."""
    return value.lower().strip("0123456789!") in _COMMON or _TEMPLATE.search(value) is not None


def is_random(value: str, length: int = MIN_RANDOM) -> bool:
    """Whether a value has letters and digits that change often enough, as in no words, names or versions."""
    value = value.rstrip("=.,")
    runs = re.findall(r"[A-Za-z0-9]+", value)
    if len(value) < length or not runs or not (re.search(r"\d", value) and re.search(r"[A-Za-z]", value)):
        return False
    kinds = ["d" if letter.isdigit() else "u" if letter.isupper() else "l" for letter in "".join(runs)]
    changes = sum(a != b for a, b in pairwise(kinds))
    words = sum(bool(re.fullmatch(r"[A-Z]?[a-z]{3,}|[A-Z]{3,}|\d{1,4}", run)) for run in runs)
    return changes >= MIN_CHANGES * len(kinds) and 2 * words <= len(runs) and not _repeats(value)


def _repeats(value: str) -> bool:
    """Whether a value repeats four characters more often than random values of this length do, or counts on."""
    quadruples = [value[index : index + 4] for index in range(len(value) - 3)]
    repeated = len(quadruples) - len(set(quadruples))
    return repeated > len(value) // 40 or any(run in value.lower() for run in ("0123", "1234", "abcd"))


def _in_addresses(text: str) -> Spans:
    for match in _compiled(_ADDRESS).finditer(text):
        value = match["value"]
        if value != match["user"] and not is_template(value) and not _TEMPLATE.search(match["user"]):
            yield match.span("value")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
