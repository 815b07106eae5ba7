"""Find secrets in texts: keys, tokens, passwords, and the personal data of `personal_data`."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, Literal, NamedTuple

import msgspec

from punie_build.data.filters import assigned_secrets, personal_data
from punie_build.data.filters.secret_shapes import ASSIGNED, PRIVATE_KEY, SHAPES

Secret = Literal["private-key", "token", "password", "email", "ip", "phone", "card", "iban", "ssn"]

_PLACEHOLDER = re.compile(
    r"example|\*\*\*|your[_-]?|placeholder|dummy|"
    r"sample[_-]?|insert[_-]|change[_-]?me|my[_-]|redacted|fake|<|\.\.\.|\$\{"
    r"|eyJzdWIiOiIxMjM0NTY3ODkw",  # the payload of jwt.io's sample
    re.IGNORECASE,
)
_RUN = re.compile(r"[A-Za-z0-9_.+/~=:@-]{13,}")
_RUN_END = re.compile(r"[A-Za-z0-9_.+/~=:@-]*")
_DIGIT_OR_MARK = re.compile(r"\d|AKC")
BEFORE = 220  # characters before a token in which the words for it are sought
SLICE, OVERLAP = 4096, 1024  # characters of a text that detectors of the library read at once
PASSWORD_SLICE = 1000  # the same for those of passwords, which are slower
MAX_RUN = 1 << 14  # characters by which a slice may be longer, so that no token is cut
_TOKEN_HINTS = ("bearer", "authorization", "aws", "secret", "heroku", "key", "token")
_LIBRARY = (  # detector of detect-secrets, words without which it finds nothing
    ("artifactory", "ArtifactoryDetector", ("akc", "artif", "jfrog", "buildkit")),
    ("cloudant", "CloudantDetector", ("cloudant", "clou", "cl_", "cl-", "clkey", "clapi", "clpass")),
    ("ibm_cloud_iam", "IbmCloudIamDetector", ("ibm", "cloud", "iam")),
    ("ibm_cos_hmac", "IbmCosHmacDetector", ("secret",)),
    ("npm", "NpmDetector", ("npm", "_authtoken")),
    ("softlayer", "SoftlayerDetector", ("softlayer", "sl_", "sl-", "slapi", "slkey", "slpass", "sltoken")),
    ("square_oauth", "SquareOAuthDetector", ("sq0csp",)),
    ("mailchimp", "MailchimpDetector", ("-us",)),
    ("slack", "SlackDetector", ("xox", "hooks.slack")),
    ("stripe", "StripeDetector", ("k_live_",)),
)
_JWT = r"(?<![\w-])eyJ[\w-]{10,}={0,2}\.[\w-]{10,}={0,2}(?:\.[\w=-]*)*"
_PASSWORD_HINTS = ("key", "pass", "token", "pwd", "secret", "contrase", "recaptcha")


MAX_PASSES = 4  # over a text with secrets; two are enough for most


class SecretSpan(NamedTuple):
    """The characters `start` to `end` of a text, and the kind of the secret there."""

    start: int
    end: int
    kind: Secret


def find_secrets(text: str, kinds: Sequence[Secret], allow: Sequence[str] = ()) -> Iterator[SecretSpan]:
    """Yield the secrets of these kinds, kind by kind. Those that contain a text of `allow` are not secrets."""
    lower = text.lower()
    for kind in kinds:
        for start, end in _FINDERS[kind](text, lower):
            if not any(word in text[start:end] for word in allow):
                yield SecretSpan(start, end, kind)


def replace_secrets(text: str, kinds: Sequence[Secret], allow: Sequence[str] = ()) -> str:
    """Return the text with `[kind]` in the place of each secret; of secrets that overlap, the first kind counts."""
    for _ in range(MAX_PASSES):
        replaced = _replace_once(text, kinds, allow)
        if replaced == text:
            break
        text = replaced
    return text


def _replace_once(text: str, kinds: Sequence[Secret], allow: Sequence[str]) -> str:
    """Return the text after one pass. The next one finds secrets that overlapped one of them."""
    spans: list[SecretSpan] = []
    for span in find_secrets(text, kinds, allow):
        if not any(span.start < other.end and other.start < span.end for other in spans):
            spans.append(span)
    for start, end, kind in sorted(spans, reverse=True):
        text = f"{text[:start]}[{kind}]{text[end:]}"
    return text


def is_placeholder(value: str) -> bool:
    """Return whether a token stands for one: it contains a word such as `EXAMPLE`, or ends in zeros or x."""
    return _PLACEHOLDER.search(value) is not None or not value[len(value) // 2 :].strip("0xX.*-_")


def is_repetitive(value: str) -> bool:
    """Return whether the text repeats four characters, as random texts of this length do not."""
    quadruples = [value[index : index + 4] for index in range(len(value) - 3)]
    return len(set(quadruples)) < len(quadruples)


Spans = Iterator[tuple[int, int]]


def _private_keys(text: str, lower: str) -> Spans:
    if "begin" in lower or "putty" in lower or "age-secret" in lower:
        yield from (match.span() for match in _compiled(PRIVATE_KEY).finditer(text))


def _tokens(text: str, lower: str) -> Spans:
    windows = list(_windows(text))
    for start, end in windows:
        yield from _shaped_tokens(text, start, end)
    for match in _compiled(_JWT).finditer(text) if "eyJ" in text else ():
        if _is_jwt(match.group()) and not is_placeholder(match.group()):
            yield match.span()
    for start, end in windows:
        if any(hint in lower[start:end] for hint in _TOKEN_HINTS):
            yield from ((start + first, start + last) for first, last in _assigned_tokens(text[start:end]))
    for window in windows:
        yield from _library_tokens(text, lower, *window)
    if windows and "azure" in lower and "==" in text:
        yield from _values(text, _azure_keys(text))
    named = (span for window in windows for span in assigned_secrets.named_tokens(text, lower, *window))
    for first, last in chain(named, assigned_secrets.address_tokens(text)):
        if not is_placeholder(text[first:last]):
            yield first, last


def _shaped_tokens(text: str, start: int, end: int) -> Spans:
    for match in _compiled(SHAPES).finditer(text, start, end):
        if not is_placeholder(match.group()) and _is_random(match.group()):
            yield match.span()


def _library_tokens(text: str, lower: str, start: int, end: int) -> Spans:
    for first, last in _slices(text, start, end, SLICE, OVERLAP):
        detectors = _detectors(lower[first:last])
        values = [value for detector in detectors for value in _random_values(detector, text[first:last])]
        yield from ((first + low, first + high) for low, high in _values(text[first:last], values))


def _windows(text: str) -> Spans:
    """Yield the parts of a text that may have a token: long runs of its characters, with the words before them."""
    start = end = 0
    for run in _RUN.finditer(text):
        if run.end() - run.start() < 20 and not _DIGIT_OR_MARK.search(text, run.start(), run.end()):
            continue
        if run.start() - BEFORE > end:
            if end:
                yield start, end
            start = max(run.start() - BEFORE, 0)
        end = min(run.end() + 2, len(text))
    if end:
        yield start, end


def _slices(text: str, start: int, end: int, size: int, overlap: int) -> Spans:
    """Yield overlapping parts of about `size` characters, because some patterns of the library take quadratic time.

    A part ends where a run of characters of tokens ends, so that each token is whole in one of them.
    """
    while end - start > size:
        run = _RUN_END.match(text, start + size, min(start + size + MAX_RUN, end))
        stop = run.end() if run else start + size
        yield start, stop
        start = max(stop - overlap, start + 1)
    yield start, end


def _is_jwt(token: str) -> bool:
    """Return whether the parts of a token are those of a JSON web token."""
    header, payload, *others = token.rstrip(".").split(".")
    return _is_json(header) and (
        len(others) == 3 or (payload.startswith("eyJ") and len(others) == 1) or _is_json(payload)
    )


def _is_json(encoded: str) -> bool:
    try:
        msgspec.json.decode(urlsafe_b64decode(encoded.rstrip("=") + "=="), type=dict)
    except (binascii.Error, msgspec.DecodeError, RecursionError):
        return False
    return True


def _assigned_tokens(text: str) -> Spans:
    for match in _compiled(ASSIGNED, re.IGNORECASE).finditer(text):
        group = match.lastgroup or ""
        value = match.group(group)
        if is_placeholder(value) or not any(character.isdigit() for character in value):
            continue
        if group not in ("assigned", "bearer", "header") or not is_repetitive(value):
            yield match.span(group)


def _detectors(lower: str) -> Iterator[Any]:
    """Yield the detectors of the library that may find something in the text."""
    for module, name, hints in _LIBRARY:
        if any(hint in lower for hint in hints):
            yield _detector(module, name)


def _random_values(detector: Any, text: str) -> Iterator[str]:
    """Yield the values of a detector. That of IBM finds any value of 44 characters, which has to be random."""
    values = detector.analyze_string(text)
    is_ibm = type(detector).__name__ == "IbmCloudIamDetector"
    return (value for value in values if not (is_ibm and is_repetitive(value)))


def _azure_keys(text: str) -> Iterator[str]:
    """Yield the keys of Azure's storage near its name; other texts of their length are checksums."""
    from detect_secrets.core.potential_secret import PotentialSecret

    detector = _detector("azure_storage_key", "AzureStorageKeyDetector")
    for value in detector.analyze_string(text):
        candidate = PotentialSecret(type=detector.secret_type, filename="", secret=value)
        if detector.context_keys_exists(candidate, text):
            yield value


def _is_random(token: str) -> bool:
    """Return whether a token with the common prefix `sk-` is random text, and not a slug or the name of a class."""
    if not token.startswith("sk-") or token.startswith("sk-lf-"):
        return True
    parts = re.split(r"[-_]", token[3:])
    digits, capitals = (sum(map(test, token)) for test in (str.isdigit, str.isupper))
    return digits >= 2 and (max(map(len, parts)) >= 16 or capitals >= 2)


def _values(text: str, values: Iterable[str]) -> Spans:
    """Yield the spans of these parts of a text, except of placeholders."""
    for value in dict.fromkeys(values):
        if len(value) >= 4 and not _PLACEHOLDER.search(value):
            yield from (match.span() for match in re.finditer(re.escape(value), text))


def _passwords(text: str, lower: str) -> Spans:
    for first, last in assigned_secrets.written_passwords(text, lower):
        if "example." not in text[first : last + 40].partition("\n")[0]:
            yield first, last
    if any(hint in lower for hint in _PASSWORD_HINTS):
        detectors = [_detector("keyword", "KeywordDetector")]
        for start, end in _line_slices(text):
            part = text[start:end]
            if any(hint in lower[start:end] for hint in _PASSWORD_HINTS):
                for detector in detectors:
                    values = [value for value in detector.analyze_string(part) if not _is_code(value, part)]
                    yield from ((start + first, start + last) for first, last in _values(part, values))


def _line_slices(text: str) -> Spans:
    for line in re.finditer(r".+", text):
        yield from _slices(text, *line.span(), PASSWORD_SLICE, PASSWORD_SLICE // 4)


def _is_code(value: str, line: str) -> bool:
    """Return whether the value of a password is a word for it, a variable, or a host that is an example."""
    if len(value) >= 24 and is_repetitive(value):
        return True
    return value.lower() in ("password", "secret", "token", "username", "user") or "example." in line or " " in value


@cache
def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, flags)


@cache
def _detector(module: str, name: str) -> Any:
    from importlib import import_module

    return getattr(import_module(f"detect_secrets.plugins.{module}"), name)()


_FINDERS: dict[Secret, Callable[[str, str], Spans]] = {
    "private-key": _private_keys,
    "token": _tokens,
    "password": _passwords,
    "email": personal_data.emails,
    "ip": personal_data.addresses,
    "phone": personal_data.phones,
    "card": personal_data.cards,
    "iban": personal_data.accounts,
    "ssn": personal_data.social_numbers,
}
