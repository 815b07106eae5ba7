"""Find personal data in texts: e-mail and IP addresses, the numbers of phones, cards, accounts and social security.

Each finder gets a text, and the same in lower case, and yields the spans that it finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

# `re` compiles these patterns when they are first used: most processes never search for personal data
_EMAIL = (
    r"(?<![\w.+-])(?!git@)[\w.+-]{2,}@"
    r"(?!(?:[\w-]+\.)*(?:example(?:\.\w{2,3}){0,2}|test|invalid|localhost)(?![\w-]|\.\w))"
    r"(?:[^\W_][\w-]*\.)+(?!(?:png|jpe?g|gif|svg|webp|css|js|ts|py|rb|go|json|html?|md|txt|sh|so|dll|zip|gz)\b)"
    r"[^\W\d_]{2,}(?![\w-])(?!:[/~])"
)
_IP = (
    r"(?:(?<![\w./-])|(?<=://))"
    r"(?!10\.|127\.|0\.|169\.254\.|192\.168\.|192\.0\.2\.|198\.51\.100\.|203\.0\.113\."
    r"|172\.(?:1[6-9]|2\d|3[01])\.|255\.|22[4-9]\.|23\d\.)"
    r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w-]|\.\w)"
)
_NUMBERED = r"(?i)(?:section|sect?\.|§|versions?|ver\.?|release|chapter|figure|fig\.|table|build|rfc|v|==|>=)\s*$"
_IP6 = r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:]|\.\w)"
_PHONE = (
    r"(?i)(?:\+|(?<![\w.+-])00)[1-9][\d ()./-]{6,}\d"
    r"|(?<![\d.-])(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\d-]|\.\d)"
    r"|(?:tel|phone|phon|fon|mobile?|handy|fax|whatsapp|call|cell)[a-zé]{0,12}\W{1,3}"
    r"(?P<national>\(?0[1-9][\d ()./-]{6,}\d)"
)
_TRUNK_REGIONS = ("DE", "FR", "GB", "IT", "IN", "JP", "AU", "NL", "CH", "AT", "BE", "SE", "ZA", "BR", "KR", "TR")
_CARD = r"(?<![\w.-])(?:3[0-9]|4|5[1-5]|2[2-7]|6)\d*(?:[ -]?\d){11,18}(?![\w-]|\.\d)"
_IBAN = r"(?i)(?<![\w-])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![\w-])"
_IBAN_LENGTHS = {
    code[:2]: int(code[2:])
    for code in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
        "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
    ).split()
}
_SSN = r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"
_FAMOUS_SSN = ("078-05-1120", "219-09-9999", "123-45-6789")  # printed in advertisements and documentation

Spans = Iterator[tuple[int, int]]


def emails(text: str, lower: str) -> Spans:
    """Yield e-mail addresses, except those of reserved domains and of git."""
    if "@" in text:
        yield from (match.span() for match in re.finditer(_EMAIL, text))


def addresses(text: str, lower: str) -> Spans:
    """Yield public IP addresses, of version 4 and 6, that are no version of a program."""
    for match in re.finditer(_IP, text):
        if not re.search(_NUMBERED, text[max(match.start() - 12, 0) : match.start()]):
            yield match.span()
    for match in re.finditer(_IP6, text):
        try:
            public = ip_address(match.group()).is_global
        except ValueError:
            continue
        if public:
            yield match.span()


def phones(text: str, lower: str) -> Spans:
    """Yield phone numbers that exist: international ones, those of North America, and national ones behind a word."""
    for match in re.finditer(_PHONE, text):
        group = "national" if match.group("national") else 0
        number = match.group(group)
        if number.startswith("00"):
            number = f"+{number[2:]}"
        regions = ("",) if number.startswith("+") else _TRUNK_REGIONS if group else ("US",)
        if any(_is_phone(number, region) for region in regions):
            yield match.span(group)


def _is_phone(number: str, region: str) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region or None)))
    except phonenumbers.NumberParseException:
        return False


def cards(text: str, lower: str) -> Spans:
    """Yield the numbers of payment cards."""
    for match in re.finditer(_CARD, text):  # what follows a number, such as a date, may look like a part of it
        ends = [part.end() for part in re.finditer(r"\d+", match.group())]
        if end := next((end for end in reversed(ends) if is_luhn(match.group()[:end])), 0):
            yield match.start(), match.start() + end


def accounts(text: str, lower: str) -> Spans:
    """Yield international bank account numbers."""
    for match in re.finditer(_IBAN, text):
        places = [place for place, character in enumerate(match.group(), 1) if character.isalnum()]
        length = _IBAN_LENGTHS.get(match.group()[:2].upper(), 0)
        if 0 < length <= len(places) and is_iban(match.group()[: places[length - 1]]):
            yield match.start(), match.start() + places[length - 1]


def social_numbers(text: str, lower: str) -> Spans:
    """Yield social security numbers of the United States."""
    yield from (match.span() for match in re.finditer(_SSN, text) if match.group() not in _FAMOUS_SSN)


def is_luhn(number: str) -> bool:
    """Return whether the digits of a number have a valid check digit by Luhn's formula."""
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(digits)]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0 and len(set(digits)) > 1


def is_iban(text: str) -> bool:
    """Return whether the text is an account number with valid check digits by ISO 7064, modulo 97."""
    compact = text.replace(" ", "").replace("-", "")
    digits = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return len(compact) == _IBAN_LENGTHS.get(compact[:2].upper()) and int(digits) % 97 == 1
