"""The tokenizer of a base as metadata of GGUF: byte-level BPE, and BPE of SentencePiece.

llama.cpp splits words by a pattern that has a name. Only patterns that `models.gguf_tokenizer` knows are written, and
what is written is read back by it: the token ids of `PROBES` must be those of the base.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.errors import ModelError
from punie_build.models.gguf_tokenizer import CONTROL, DIGITS_APART, ROLES, SPLITS, UNKNOWN, USER_DEFINED
from punie_build.models.safetensors import json_as, read

NORMAL, UNUSED, BYTE = 1, 5, 6  # further token types of GGUF
SPACE = "▁"
PROBES = (
    "Hello, world! It's we'll I'M they've  two  spaces\n\n\ta tab\r\nand 1234567 or 3.14, x_1 = [0x1F];",
    "def read_file(path: str) -> str:\n    return open(path).read()  # a comment\n",
    "Grüße aus Köln, café, naïve, Ελληνικά, Привет, 你好世界, こんにちは, 안녕, עברית, हिन्दी, 🙂👍🏽 …“quoted”",
    ' {"name": "run", "arguments": {"a": [1, 2, null], "b": "c\\n"}}   ',
    "",
    " ",
    "a",
)


class TokenizerParts(Struct, frozen=True):
    """The parts of tokenizer.json that decide the tokens of a text."""

    model: dict[str, Any]
    added_tokens: tuple[dict[str, Any], ...] = ()
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None


class TokenizerFiles(Struct, frozen=True, kw_only=True):
    """tokenizer.json and tokenizer_config.json of a base."""

    tokenizer: TokenizerParts
    settings: dict[str, Any]

    @property
    def is_byte_level(self) -> bool:
        return any(step.get("type") == "ByteLevel" for step in _steps(self.tokenizer.pre_tokenizer))


def read_files(folder: Path) -> TokenizerFiles:
    """Read the tokenizer of a base. Raises ModelError."""
    try:
        settings = folder / "tokenizer_config.json"
        return TokenizerFiles(
            tokenizer=read(folder / "tokenizer.json", json_as(TokenizerParts)),
            settings=read(settings, json_as(dict[str, Any])) if settings.exists() else {},
        )
    except ValueError as error:
        raise ModelError(str(error)) from None


def metadata(folder: Path, size: int) -> dict[str, Any]:
    """Return the metadata of the tokenizer of a base whose embedding has `size` rows. Raises ModelError."""
    files = read_files(folder)
    model = files.tokenizer.model
    if model.get("type") != "BPE":
        raise ModelError(f"its tokenizer is {model.get('type')}, exported is BPE - use the original")
    vocabulary: dict[str, int] = model["vocab"]
    added = files.tokenizer.added_tokens
    words = {number: word for word, number in vocabulary.items()} | {each["id"]: each["content"] for each in added}
    if max(words) >= size:
        raise ModelError(f"its tokenizer has {max(words) + 1} tokens, its embedding {size} - use another base")
    result: dict[str, Any] = {
        "tokenizer.ggml.tokens": [words.get(number, f"[PAD{number}]") for number in range(size)],
        "tokenizer.ggml.token_type": _types(files, words, added, size),
    }
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    if files.is_byte_level:
        result |= {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": _pre(files.tokenizer.pre_tokenizer),
            "tokenizer.ggml.merges": merges,
        }
    elif model.get("byte_fallback"):
        result |= _sentence_piece(files.tokenizer, result["tokenizer.ggml.tokens"], merges)
    else:
        raise ModelError(
            "its tokenizer is BPE neither of bytes nor of SentencePiece, which llama.cpp has not - serve it with mlx-lm"
        )
    return result | _roles(folder, files, {word: number for number, word in words.items()})


def notes(folder: Path) -> Iterator[str]:
    """Yield how llama.cpp treats rare texts otherwise. Raises ModelError if most texts would have other tokens."""
    files = read_files(folder)
    for step in _steps(files.tokenizer.normalizer) if files.is_byte_level else ():
        if step.get("type") != "NFC":
            raise ModelError(
                f"its tokenizer normalizes by {step.get('type')}, which llama.cpp has not - use the original"
            )
        yield "its tokenizer composes characters (NFC), llama.cpp does not: decomposed accents are other tokens there"


def _steps(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the steps of a normalizer or a pre-tokenizer, or of a sequence of these."""
    if isinstance(value, dict):
        parts = value.get("pretokenizers") or value.get("normalizers")
        yield from (step for part in parts for step in _steps(part)) if parts else (value,)


def _types(files: TokenizerFiles, words: dict[int, str], added: tuple[dict[str, Any], ...], size: int) -> list[int]:
    types = dict.fromkeys(words, NORMAL)
    if not files.is_byte_level:
        types |= {n: BYTE for n, word in words.items() if len(word) == 6 and word.startswith("<0x") and word[-1] == ">"}
    types |= {each["id"]: CONTROL if each.get("special") else USER_DEFINED for each in added}
    unknown = files.tokenizer.model.get("unk_token")
    types |= {number: UNKNOWN for number, word in words.items() if unknown is not None and word == unknown}
    return [types.get(number, UNUSED) for number in range(size)]


def _pre(pre_tokenizer: Any) -> str:
    """Return the name in llama.cpp of the pattern that splits words. Raises ModelError for one without."""
    steps = list(_steps(pre_tokenizer))
    patterns = [step["pattern"].get("Regex", "?") for step in steps if step.get("type") == "Split"]
    digits = any(step.get("type") == "Digits" and step.get("individual_digits") for step in steps)
    use_regex = any(step.get("type") == "ByteLevel" and step.get("use_regex", True) for step in steps)
    has_prefix = any(step.get("add_prefix_space") for step in steps)
    others = [step["type"] for step in steps if step.get("type") not in ("Split", "Digits", "ByteLevel")]
    for name, pattern in SPLITS.items():
        is_equal = patterns == ([pattern] if pattern else []) and use_regex == (not pattern)
        if name != "default" and is_equal and digits == (name in DIGITS_APART) and not others and not has_prefix:
            return name
    known = ", ".join(name for name in SPLITS if name != "default")
    raise ModelError(f"its tokenizer splits words by a pattern of its own, llama.cpp's that are known are {known}")


def _sentence_piece(tokenizer: TokenizerParts, words: list[str], merges: list[str]) -> dict[str, Any]:
    """Return pieces with scores in the order of their merges: the first merge joins first."""
    steps = [step.get("type") for step in _steps(tokenizer.normalizer)]
    if others := [step for step in steps if step not in ("Prepend", "Replace")]:
        raise ModelError(f"its tokenizer normalizes by {others[0]}, which llama.cpp has not - use the original")
    ranks: dict[str, int] = {}
    for number, pair in enumerate(merges):
        ranks.setdefault(pair.replace(" ", "", 1), number)
    metaspace = [step for step in _steps(tokenizer.pre_tokenizer) if step.get("type") == "Metaspace"]
    prefix = "Prepend" in steps or any(step.get("prepend_scheme") in ("first", "always") for step in metaspace)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": [-1.0 - ranks[word] if word in ranks else -1e6 for word in words],
        "tokenizer.ggml.add_space_prefix": prefix,
    }


def _roles(folder: Path, files: TokenizerFiles, numbers: dict[str, int]) -> dict[str, Any]:
    """Return the ids of special tokens, and whether a text begins with that of its beginning."""
    result: dict[str, Any] = {}
    for role, key in ROLES:
        value = files.settings.get(role)
        word = value.get("content") if isinstance(value, dict) else value
        if isinstance(word, str) and word in numbers:
            result[f"tokenizer.ggml.{key}_token_id"] = numbers[word]
    tokenizer = _tokenizer(folder)
    plain, marked = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    bos = [result["tokenizer.ggml.bos_token_id"]] if "tokenizer.ggml.bos_token_id" in result else []
    if marked not in (plain, bos + plain):
        raise ModelError("its tokenizer adds other tokens than the one of the beginning to a text - use the original")
    return result | {"tokenizer.ggml.add_bos_token": marked != plain}


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises no other class
        raise ModelError(f"tokenizer.json cannot be loaded ({error}) - copy it from the original") from None


def differences(folder: Path, other: Path) -> Iterator[str]:
    """Yield where the tokenizer in another folder differs: in the ids of probes, with and without special tokens."""
    first, second = _tokenizer(folder), _tokenizer(other)
    special = [each["content"] for each in read_files(folder).tokenizer.added_tokens]
    probes = (*PROBES, "".join(f"{word}x" for word in special[:64]))
    if differing := [text for text in probes if first.encode(text).ids != second.encode(text).ids]:
        yield f"the tokens of {differing[0]!r} are others"
