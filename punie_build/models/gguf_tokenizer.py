"""The tokenizer in the metadata of a GGUF file, as tokenizer.json: byte-level BPE, and BPE of SentencePiece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from punie_build.errors import ModelError

CONTROL, USER_DEFINED, UNKNOWN = 3, 4, 2  # token types of GGUF
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {  # `tokenizer.ggml.pre` -> the pattern of words; "" for that of GPT-2
    "gpt-2": "",
    "default": "",
    "smollm": "",
    "llama-bpe": rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|{WORDS}|\p{{N}}{{1,3}}{TAIL}",
    "qwen2": rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|{WORDS}|\p{{N}}{TAIL}",
}
ROLES = (("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding"), ("unk_token", "unknown"))  # key of GGUF
DIGITS_APART = ("smollm",)


def write(metadata: dict[str, Any], folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json. Raises ModelError for a tokenizer that is not known."""
    model, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "default")
    if model == "gpt2" and pre in SPLITS and "tokenizer.ggml.merges" in metadata:
        tokenizer = _byte_level(metadata, pre)
    elif model == "llama" and "tokenizer.ggml.scores" in metadata:
        tokenizer = _sentence_piece(metadata)
    else:
        raise ModelError(f"its tokenizer is {model} ({pre}), which cannot be converted - use the base of mlx-lm")
    words = metadata["tokenizer.ggml.tokens"]
    types = metadata.get("tokenizer.ggml.token_type") or [1] * len(words)
    _add_special(tokenizer, words, types)
    names = {
        role: words[metadata[f"tokenizer.ggml.{key}_token_id"]]
        for role, key in ROLES
        if metadata.get(f"tokenizer.ggml.{key}_token_id") is not None
    }
    if metadata.get("tokenizer.ggml.add_bos_token", model == "llama") and "bos_token" in names:
        from tokenizers import processors

        bos = names["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, metadata["tokenizer.ggml.bos_token_id"])]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = names | {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    if template := metadata.get("tokenizer.chat_template"):
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=2))


def _byte_level(metadata: dict[str, Any], pre: str) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    merges = [tuple(pair.split(" ", 1)) for pair in metadata["tokenizer.ggml.merges"]]
    vocabulary = {word: number for number, word in enumerate(metadata["tokenizer.ggml.tokens"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=pre == "llama-bpe"))
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if pre in DIGITS_APART else []
    steps += [pre_tokenizers.Split(Regex(SPLITS[pre]), "isolated")] if SPLITS[pre] else []
    steps += [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not SPLITS[pre])]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentence_piece(metadata: dict[str, Any]) -> Any:
    """Return BPE whose merges are in the order of their scores, as SentencePiece joins pieces."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    words, scores = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.scores"]
    vocabulary = {word: number for number, word in enumerate(words)}
    merges = []
    for number, word in enumerate(words):
        pairs = [(word[:at], word[at:]) for at in range(1, len(word))]
        known = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
        merges += [(-scores[number], vocabulary[left], vocabulary[right], left, right) for left, right in known]
    pairs = [(left, right) for *_, left, right in sorted(merges)]
    unknown = words[metadata.get("tokenizer.ggml.unknown_token_id", 0)]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=pairs, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    has_prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    steps = [normalizers.Prepend("▁")] if has_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if has_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return tokenizer


def _add_special(tokenizer: Any, words: list[str], types: list[int]) -> None:
    from tokenizers import AddedToken

    kinds = list(zip(words, types, strict=True))
    control = [AddedToken(word, special=True, normalized=False) for word, kind in kinds if kind in (CONTROL, UNKNOWN)]
    tokenizer.add_special_tokens(control)
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word, kind in kinds if kind == USER_DEFINED])
