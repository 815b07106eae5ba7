"""Find secrets and personal data in texts: keys, tokens, passwords, addresses, phone, card and account numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple

from punie_build.data.filters.secret_shapes import ASSIGNED, PRIVATE_KEY, SHAPES

Secret = Literal["private-key", "token", "password", "email", "ip", "phone", "card", "iban", "ssn"]

_EMAIL = re.compile(
    r"(?<![\w.+-])(?!git@)[\w.+-]{2,}@(?!(?:[\w-]+\.)*(?:example|test|invalid|localhost)\b)"
    r"(?:[^\W_][\w-]*\.)+(?!(?:png|jpe?g|gif|svg|webp|css|js|ts|py|rb|go|json|html?|md|txt|sh|so|dll|zip|gz)\b)"
    r"[^\W\d_]{2,}(?![\w-])(?!:[/~])"
)
_IP = re.compile(
    r"(?<![\w./-])(?!10\.|127\.|0\.|169\.254\.|192\.168\.|192\.0\.2\.|198\.51\.100\.|203\.0\.113\."
    r"|172\.(?:1[6-9]|2\d|3[01])\.|255\.|22[4-9]\.|23\d\.)"
    r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.-])"
)
_NUMBERED = re.compile(
    r"(?:section|sect?\.|§|versions?|ver\.?|release|chapter|figure|fig\.|table|build|rfc|v|==|>=)\s*$", re.IGNORECASE
)
_IP6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:.])")
_PHONE = re.compile(
    r"\+\d[\d ().-]{6,}\d|\(\d{3}\) ?\d{3}[-. ]\d{4}(?!\d)|(?<![\d.-])\d{3}[-. ]\d{3}[-. ]\d{4}(?![\d.-])"
)
_CARD = re.compile(r"(?<![\w.-])(?:3[47]|4|5[1-5]|2[2-7]|6)\d*(?:[ -]?\d){11,18}(?![\w.-]|\.\d)")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_PLACEHOLDER = re.compile(
    r"example|\*\*\*|your[_-]?|placeholder|dummy|"
    r"sample[_-]?|insert[_-]|change[_-]?me|my[_-]|redacted|fake|<|\.\.\.|\$\{"
    r"|eyJzdWIiOiIxMjM0NTY3ODkw",  # the payload of jwt.io's sample
    re.IGNORECASE,
)
_RUN = re.compile(r"[A-Za-z0-9_.+/~=:@-]{13,}")
_DIGIT_OR_MARK = re.compile(r"\d|AKC")
BEFORE = 220  # characters before a token in which the words for it are sought
SLICE, OVERLAP = 4096, 1024  # characters of a text that detectors of the library read at once
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
    ("jwt", "JwtTokenDetector", ("eyj",)),
)
_PASSWORD_HINTS = ("key", "pass", "token", "pwd", "secret", "contrase", "recaptcha", "://")


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
        for match in _compiled(SHAPES).finditer(text, start, end):
            if not is_placeholder(match.group()) and _is_random(match.group()):
                yield match.span()
    for start, end in windows:
        if any(hint in lower[start:end] for hint in _TOKEN_HINTS):
            yield from ((start + first, start + last) for first, last in _assigned_tokens(text[start:end]))
    for start, end in _slices(windows):
        part, small = text[start:end], lower[start:end]
        values = [value for detector in _detectors(small) for value in _random_values(detector, part)]
        yield from ((start + first, start + last) for first, last in _values(part, values))
    if windows and "azure" in lower and "==" in text:
        yield from _values(text, _azure_keys(text))


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


def _slices(windows: Iterable[tuple[int, int]]) -> Spans:
    """Cut long windows into overlapping slices: some patterns of the library take quadratic time."""
    for start, end in windows:
        yield from (
            (first, min(first + SLICE, end)) for first in range(start, max(end - OVERLAP, start + 1), SLICE - OVERLAP)
        )


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
    if not token.startswith("sk-"):
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
    if any(hint in lower for hint in _PASSWORD_HINTS):
        detectors = [_detector("keyword", "KeywordDetector"), _detector("basic_auth", "BasicAuthDetector")]
        for line in text.split("\n"):
            if len(line) <= 1000 and any(hint in line.lower() for hint in _PASSWORD_HINTS):
                for detector in detectors:
                    values = [value for value in detector.analyze_string(line) if not _is_code(value, line)]
                    yield from _values(text, values)


def _is_code(value: str, line: str) -> bool:
    """Return whether the value of a password is a word for it, a variable, or a host that is an example."""
    if len(value) >= 24 and is_repetitive(value):
        return True
    return value.lower() in ("password", "secret", "token", "username", "user") or "example." in line or " " in value


def _emails(text: str, lower: str) -> Spans:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


def _addresses(text: str, lower: str) -> Spans:
    for match in _IP.finditer(text):
        if not _NUMBERED.search(text, max(match.start() - 12, 0), match.start()):
            yield match.span()
    for match in _IP6.finditer(text):
        try:
            public = ip_address(match.group()).is_global
        except ValueError:
            continue
        if public:
            yield match.span()


def _phones(text: str, lower: str) -> Spans:
    if _PHONE.search(text):
        import phonenumbers

        for match in _PHONE.finditer(text):
            region = None if match.group().startswith("+") else "US"
            try:
                number = phonenumbers.parse(match.group(), region)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(number):
                yield match.span()


def _cards(text: str, lower: str) -> Spans:
    for match in _CARD.finditer(text):
        if is_luhn(match.group()):
            yield match.span()


def _accounts(text: str, lower: str) -> Spans:
    for match in _IBAN.finditer(text):
        if is_iban(match.group()):
            yield match.span()


def _social_numbers(text: str, lower: str) -> Spans:
    yield from (match.span() for match in _SSN.finditer(text) if match.group() != "078-05-1120")


def is_luhn(number: str) -> bool:
    """Return whether the digits of a number have a valid check digit by Luhn's formula."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(digits)]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0 and len(set(digits)) > 1


def is_iban(text: str) -> bool:
    """Return whether the text is an account number with valid check digits by ISO 7064, modulo 97."""
    compact = text.replace(" ", "")
    digits = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return 15 <= len(compact) <= 34 and int(digits) % 97 == 1


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
    "email": _emails,
    "ip": _addresses,
    "phone": _phones,
    "card": _cards,
    "iban": _accounts,
    "ssn": _social_numbers,
}
