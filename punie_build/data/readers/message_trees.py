"""Message trees of Open Assistant: a tree in each record, or the messages of trees, one in each record.

A tree becomes a conversation for each way through it. A prompt is followed by its best answer only, an answer by
every prompt; answers and prompts that are not followed are counted under `skipped_messages`. What an earlier
conversation of the tree has is not learned again (`weight` 0).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, groupby
from typing import Any

from punie_build.data.readers.record import NumberedRecords, Record, decode_record

Node = dict[str, Any]
_ROLES = {"prompter": "user", "assistant": "assistant"}
_IDS = ("message_id", "user_message_id")
_PARENTS = ("parent_id", "parent_message_id")
NO_ANSWER = "a message tree without an answer - remove it"


def join_trees(records: NumberedRecords) -> NumberedRecords:
    """Yield the conversations of message trees, or the records unchanged if the first one is none of a tree."""
    if (first := next(records, None)) is None:
        return
    everything = chain([first], records)
    node = decode_record(first[1])
    if node is None:
        yield from everything
    elif _root(node):
        yield from _of_trees(everything)
    elif _is_message(node):
        yield from _of_messages(everything)
    else:
        yield from everything


def _is_message(node: Node) -> bool:
    return _is_node(node) and isinstance(_value(node, _IDS), str) and isinstance(_value(node, _PARENTS), str | None)


def _root(node: Node) -> Node | None:
    """Return the first message of a tree in one record, or None for another record."""
    root = node.get("prompt") if "message_tree_id" in node else node
    return root if isinstance(root, dict) and _is_node(root) and isinstance(root.get("replies"), list) else None


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and node.get("role") in [*_ROLES] and isinstance(node.get("text"), str)


def _value(node: Node, keys: tuple[str, ...]) -> Any:
    return next((node[key] for key in keys if node.get(key) is not None), None)


def _of_trees(records: NumberedRecords) -> NumberedRecords:
    for number, record in records:
        node = decode_record(record)
        if node is None or (root := _root(node)) is None:
            yield number, record
        else:
            yield from ((number, row) for row in _conversations(root, _replies))


def _replies(node: Node) -> list[Any]:
    replies = node.get("replies")
    return replies if isinstance(replies, list) else []


def _of_messages(records: NumberedRecords) -> NumberedRecords:
    """Yield the conversations of messages that name their parents; messages of a tree follow each other."""
    decoded = ((number, record, decode_record(record) or {}) for number, record in records)
    for _, group in groupby(decoded, lambda item: item[2].get("message_tree_id")):
        roots, children = [], defaultdict[Any, list[Node]](list)
        known: set[Any] = set()
        for number, record, node in group:
            parent = _value(node, _PARENTS)
            if not _is_message(node):
                yield number, record
            elif parent is None:
                roots.append((number, node))
                known.add(_value(node, _IDS))
            elif parent in known:
                children[parent].append(node)
                known.add(_value(node, _IDS))
            else:
                yield number, f"its parent {parent} is not among the messages before it - add the message, or remove it"
        for number, root in roots:
            rows = _conversations(root, lambda message: children.get(_value(message, _IDS), ()))  # noqa: B023
            yield from ((number, row) for row in rows)


def _conversations(root: Node, replies: Callable[[Node], Any]) -> Iterator[Record]:
    """Yield a conversation for each way from the first message to an answer that no prompt with an answer follows."""
    ways: list[list[Node]] = []
    skipped = 0
    stack = [[root]]
    while stack:
        way = stack.pop()
        usable = [reply for reply in replies(way[-1]) if _is_node(reply) and not reply.get("deleted")]
        skipped += len(replies(way[-1])) - len(usable)
        if way[-1]["role"] == "prompter":
            answers = sorted((reply for reply in usable if reply["role"] == "assistant"), key=_rank)
            skipped += len(usable) - len(answers[:1])
            if answers:
                stack.append([*way, answers[0]])
            else:  # a question at the end
                skipped += 1
                ways.append(way[:-1])
        else:
            prompts = [reply for reply in usable if reply["role"] == "prompter"]
            skipped += len(usable) - len(prompts)
            stack += [[*way, prompt] for prompt in reversed(prompts)]
            if not prompts:
                ways.append(way)
    yield from _rows(ways, skipped)


def _rows(ways: list[list[Node]], skipped: int) -> Iterator[Record]:
    learned: set[int] = set()
    count = 0
    for way in ways:
        if not way or all(id(node) in learned for node in way):
            continue
        messages = [_message(node, id(node) in learned) for node in way]
        learned.update(map(id, way))
        keys = {"id": _value(way[-1], _IDS), "lang": way[0].get("lang")}
        count += 1
        if skipped and count == 1:
            keys["skipped_messages"] = skipped
        yield {"messages": messages, **{key: value for key, value in keys.items() if value is not None}}
    if not count:
        yield NO_ANSWER


def _message(node: Node, is_learned: bool) -> Node:
    message = {"role": _ROLES[node["role"]], "content": node["text"]}
    return message | ({"weight": 0} if is_learned and node["role"] == "assistant" else {})


def _rank(node: Node) -> tuple[bool, int]:
    rank = node.get("rank")
    return (False, rank) if isinstance(rank, int) else (True, 0)
