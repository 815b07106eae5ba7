"""Keys that change the meaning of a row or a message: each is honored, refused, or reported as unknown.

`ROW_KEYS` and `MESSAGE_KEYS` are the one table. A key that is in neither is kept in the row, has no effect, and is
reported by name: `unknown_keys`. The table is read by the reader (`normalize`), and thereby by datasets and by the
commands `validate` and `audit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from punie_build.data.tool_call_markup.span import FIX_HINT

Policy = Literal["honored", "refused", "metadata"]  # metadata: kept, without an effect on training

METADATA = tuple(
    """id uid uuid _id idx index conversation_id question_id task_id example_id data_id source category language lang
    license url meta metadata dataset dataset_name origin timestamp date created model version tags topic title repo
    repository path score difficulty note notes comment""".split()
)
MEDIA = ("image", "images", "video", "videos", "audio", "audios")
_ANSWERS = "answer response output completion message messages text content conversation conversations".split()
CHOSEN = (
    "chosen", "response_j", "preferred_output", *(f"chosen_{name}" for name in _ANSWERS),
    *(f"{name}_chosen" for name in _ANSWERS),
)  # fmt: skip
REJECTED = (
    "rejected", "response_k", "non_preferred_output", *(f"rejected_{name}" for name in _ANSWERS),
    *(f"{name}_rejected" for name in _ANSWERS),
)  # fmt: skip
PAIRS = (*CHOSEN, *REJECTED)
LABELS = ("label", "kto_tag", "kto_label", "desirable", "is_desirable", "preferred", "is_preferred", "is_chosen")
UNWANTED = ("false", "no", "undesirable", "unwanted", "rejected")  # as the text of a label
MEDIA_FILES = re.compile(r"(?:image|img|video|audio)s?_(?:path|url|uri|file|byte|data|base64)s?")  # keys of media
SYSTEM_KEYS = ("system", "system_prompt", "system_message", "system_instruction")
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
WEIGHT_KEYS = (
    "weight", "train", "training", "trainable", "is_trainable", "train_on", "train_on_turn", "should_train", "learn",
    "supervised", "loss", "loss_weight", "loss_scale", "loss_mask", "calculate_loss", "compute_loss", "mask", "masked",
    "is_masked", "no_loss", "ignore_loss", "do_not_train",
)  # fmt: skip
MASK_KEYS = ("mask", "masked", "is_masked", "no_loss", "ignore_loss", "do_not_train")  # true: not to be learned
DETAIL_KEYS = ("train_detail", "training_detail", "train_details")  # marks of parts of a text, as in axolotl

ROW_KEYS: dict[str, Policy] = {
    **dict.fromkeys(METADATA, "metadata"),
    **dict.fromkeys(
        ("messages", "tools", "functions", "conversation", "conversations", "form", "answer_messages", *SYSTEM_KEYS),
        "honored",
    ),
    **dict.fromkeys((*MEDIA, *PAIRS), "refused"),
    **dict.fromkeys(LABELS, "refused"),  # only false: the answer is one that is not wanted
}
MESSAGE_KEYS: dict[str, Policy] = {
    **dict.fromkeys(("role", "content", "tool_calls", "tool_call_id", "function_call", "name"), "honored"),
    **dict.fromkeys((*REASONING_KEYS, *WEIGHT_KEYS), "honored"),
    **dict.fromkeys(("id", "timestamp", "metadata", "refusal"), "metadata"),
    **dict.fromkeys((*MEDIA, *DETAIL_KEYS), "refused"),
}


def refuse_keys(record: dict[str, Any]) -> None:
    """Raise ValueError if a row has a key that makes it another kind of data than a conversation to learn."""
    if record.get("form") == "preference":
        raise ValueError('a row of preference data: no conversation to learn - use form = "preference"')
    if pairs := [key for key in PAIRS if _has_value(record.get(key))]:
        raise ValueError(
            f"a preference pair ({', '.join(pairs)}): an adapter trains on one answer, and would learn the rejected "
            'one or none - remove the row, take the wanted answer with `columns`, or use form = "preference"'
        )
    refuse_label(record)
    for key in WEIGHT_KEYS:
        value = record.get(key)
        if isinstance(value, list):
            raise ValueError(f"{key} of the row is a list of marks - write them as `weight` 0 or 1 of each message")
        if str(value).lower() in (("1", "1.0", "true") if key in MASK_KEYS else ("0", "0.0", "false")):
            raise ValueError(f"{key} of the row is {value!r}: it is not to be learned - remove the row")
    refuse_media(record)
    messages = record.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            refuse_media(message)


def refuse_label(record: dict[str, Any]) -> None:
    """Raise ValueError if a label of a row or of a message says that the answer is not wanted."""
    for key in LABELS:
        value = record.get(key)
        if value is None or isinstance(value, list | dict):
            continue
        text = str(value).lower()
        if text == "false" or (key != "label" and (text in UNWANTED or value == 0)):
            mark = "false" if value == 0 else text
            raise ValueError(
                f"{key} is {mark}: the answer is one that is not wanted - remove the row, or use form = 'preference'"
            )


def refuse_media(record: dict[str, Any]) -> None:
    """Raise ValueError if a row or a message has images, videos or sound."""
    names = (key for key in record if key in MEDIA or MEDIA_FILES.fullmatch(key))
    if media := next((key for key in names if _has_value(record[key])), None):
        raise ValueError(f"it has {media}: bases here read text only - remove the row")


def _has_value(value: Any) -> bool:
    return value is not None and value not in ([], "", {})


_RENAMED = (*REASONING_KEYS[1:], *WEIGHT_KEYS[1:], *DETAIL_KEYS, *LABELS)
_IN_METADATA = frozenset(WEIGHT_KEYS) - {"loss"}  # a loss that was measured is no mark


def is_plain_message(message: dict[str, Any]) -> bool:
    """Whether a message has no key whose value the reader stores under another key or refuses."""
    return not (
        any(message.get(key) is not None for key in _RENAMED)
        or (message.get("weight") is not None and message["weight"] not in (0, 1))
        or not isinstance(message.get("reasoning_content") or "", str)
        or (isinstance(inner := message.get("metadata"), dict) and not _IN_METADATA.isdisjoint(inner))
    )


def with_canonical_keys(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with its reasoning under `reasoning_content`, and `weight` 0 if it must not be learned.

    Raises ValueError for a mark of training that is neither yes nor no, or that another one contradicts.
    """
    if is_plain_message(message):
        return message
    refuse_label(message)
    if key := next((key for key in DETAIL_KEYS if message.get(key)), None):
        raise ValueError(f"{key} marks parts of a text, and a message is learned or it is not - write weight 0 or 1")
    other_keys = {key: value for key, value in message.items() if key not in (*REASONING_KEYS, *WEIGHT_KEYS)}
    reasoning = [message[key] for key in REASONING_KEYS if _has_value(message.get(key))]
    if any(not isinstance(text, str) for text in reasoning):
        raise ValueError(f"its reasoning is {type(reasoning[0]).__name__}, not text - {FIX_HINT}")
    if len(set(reasoning)) > 1:
        raise ValueError(f"two different texts of reasoning under {', '.join(REASONING_KEYS)} - keep one")
    if reasoning:
        other_keys["reasoning_content"] = reasoning[0]
    weights = dict(_weights(message))
    if len(set(weights.values())) > 1:
        raise ValueError(f"{' and '.join(weights)} contradict each other - keep one")
    if "weight" in weights or 0 in weights.values():
        other_keys["weight"] = next(iter(weights.values()))
    return other_keys


def _weights(message: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield (key, 1 if the message is to be learned, else 0) for every mark of training."""
    marks = {key: message[key] for key in WEIGHT_KEYS if message.get(key) is not None}
    if isinstance(inner := message.get("metadata"), dict):
        marks |= {f"metadata.{key}": inner[key] for key in _IN_METADATA & inner.keys() if inner[key] is not None}
    for key, value in marks.items():
        is_mask = key.removeprefix("metadata.") in MASK_KEYS
        if value not in (0, 1) or (is_mask and not isinstance(value, bool)):
            kind = "true or false" if is_mask else "0 or 1, because a token is learned or it is not"
            raise ValueError(f"{key} is {value!r} - write {kind}")
        yield key, int(value != is_mask)


def unknown_keys(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the keys of a canonical row that have no effect here and that the table does not name.

    A key of a message has the prefix `messages.`; each key is returned once.
    """
    found = [key for key, value in record.items() if key not in ROW_KEYS and value is not None]
    found += [key for key in LABELS if not isinstance(record.get(key), bool | None)]  # a class, or a mark unlike others
    found += ["form"] if record.get("form") not in (None, "chat", "text", "preference") else []
    for message in record["messages"]:
        if not message.keys() <= MESSAGE_KEYS.keys():
            found += [f"messages.{key}" for key in message if key not in MESSAGE_KEYS and message[key] is not None]
        if message.get("weight") == 1 and message["role"] != "assistant":
            found.append(f"messages.weight of the role {message['role']}")
    return tuple(dict.fromkeys(found))


MAX_NAMED = 5  # unknown keys that a message names; the rest are counted


def describe_unknown(counts: Mapping[str, int]) -> str:
    """Return a message about unknown keys, from the number of rows that have each; empty without keys."""
    if not counts:
        return ""
    ordered = sorted(counts, key=lambda key: (-counts[key], key))
    names = [f"{key} (in {counts[key]} row{'s' * (counts[key] != 1)})" for key in ordered[:MAX_NAMED]]
    others = [f"{len(ordered) - MAX_NAMED} more"] if len(ordered) > MAX_NAMED else []
    return f"keys without an effect on training: {', '.join(names + others)}"
