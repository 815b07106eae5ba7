"""Keys that change the meaning of a row or a message: each is honored, refused, or reported as unknown.

`ROW_KEYS` and `MESSAGE_KEYS` are the one table. A key that is in neither is kept in the row, has no effect, and is
reported by name: `unknown_keys`. The table is read by the reader (`normalize`), and thereby by datasets and by the
commands `validate` and `audit`.
"""

from __future__ import annotations

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
PAIRS = (
    "chosen", "rejected", "chosen_response", "rejected_response", "chosen_messages", "rejected_messages", "response_j",
    "response_k",
)  # fmt: skip
LABELS = ("label", "kto_tag", "desirable")
SYSTEM_KEYS = ("system", "system_prompt")
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
WEIGHT_KEYS = (
    "weight", "train", "training", "trainable", "train_on_turn", "learn", "supervised", "loss", "loss_weight",
    "loss_mask", "mask", "masked",
)  # fmt: skip
MASK_KEYS = ("mask", "masked", "metadata.masked")  # true: not to be learned

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
    **dict.fromkeys(MEDIA, "refused"),
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
    for key in LABELS:
        if (
            record.get(key) is False
            or str(record.get(key)).lower() == "false"
            or (key != "label" and record.get(key) == 0)
        ):
            raise ValueError(
                f"{key} is false: the answer is one that is not wanted - remove the row, or use form = 'preference'"
            )
    for key in WEIGHT_KEYS:
        if key not in MASK_KEYS and str(record.get(key)).lower() in ("0", "0.0", "false"):
            raise ValueError(f"{key} of the row is {record[key]!r}: it is not to be learned - remove the row")
    refuse_media(record)
    messages = record.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            refuse_media(message)


def refuse_media(record: dict[str, Any]) -> None:
    """Raise ValueError if a row or a message has images, videos or sound."""
    if media := next((key for key in MEDIA if _has_value(record.get(key))), None):
        raise ValueError(f"it has {media}: bases here read text only - remove the row")


def _has_value(value: Any) -> bool:
    return value is not None and value not in ([], "", {})


def is_plain_message(message: dict[str, Any]) -> bool:
    """Whether a message has no key whose value the reader stores under another key or refuses."""
    return not (
        any(message.get(key) is not None for key in (*REASONING_KEYS[1:], *WEIGHT_KEYS[1:]))
        or (message.get("weight") is not None and message["weight"] not in (0, 1))
        or not isinstance(message.get("reasoning_content") or "", str)
        or (isinstance(inner := message.get("metadata"), dict) and "masked" in inner)
    )


def with_canonical_keys(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with its reasoning under `reasoning_content`, and `weight` 0 if it must not be learned.

    Raises ValueError for a mark of training that is neither yes nor no, or that another one contradicts.
    """
    if is_plain_message(message):
        return message
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
    if isinstance(inner := message.get("metadata"), dict) and inner.get("masked") is not None:
        marks["metadata.masked"] = inner["masked"]
    for key, value in marks.items():
        is_mask = key in MASK_KEYS
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
