"""Interview: all conversations of a suite with one arm, turn by turn, with any sender of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from punie_build.data.call_formats import CallReader
from punie_build.errors import ServerError
from punie_build.evaluation import request
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.completion import RequestFailed, TextOf
from punie_build.evaluation.conversation import Conversation
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import Suite, measures_latency

MAX_ERROR_RATE = 0.02  # of the answers; with more errors an eval has no result
Requests = Mapping[str, dict[str, Any]]  # cache key -> body
Failures = dict[str, RequestFailed]  # by cache key
Send = Callable[[Requests], Failures]  # it adds each completion to the cache


def ask(
    spec: GenerationSpec,
    suite: Suite,
    cache: ResponseCache,
    send: Send,
    text_of: TextOf,
    reader: CallReader,
    notify: Callable[[str], object],
) -> tuple[list[Answer], int]:
    """Return the answers of all cases and epochs, and the number of requests that were sent. `send` is called for each
    turn, also if the cache has all of its completions."""
    timed = spec.measure or measures_latency(suite)
    conversations = [
        Conversation(spec, suite, case, epoch, text_of, reader, timed)
        for case in suite.cases
        for epoch in range(spec.epochs)
    ]
    sent = 0
    while waiting := [(item, body) for item in conversations if (body := item.next_request()) is not None]:
        keys = [request.cache_key(body, item.cached_epoch) for item, body in waiting]
        missing = {key: body for key, (_, body) in zip(keys, waiting, strict=True) if key not in cache.completions}
        failures = send(missing)
        sent += len(missing)
        for key, (conversation, _) in zip(keys, waiting, strict=True):
            conversation.add(cache.completions.get(key) or failures[key])
    answers = [conversation.answer for conversation in conversations if conversation.answer]
    if thoughts := sum(conversation.ends_in_thought for conversation in conversations):
        notify(f"{thoughts} of {len(answers)} answers end within their thoughts - raise max_thought_tokens")
    return answers, sent


def check_error_rate(name: str, answers: list[Answer], logs: str = "") -> None:
    """Raise ServerError if more than MAX_ERROR_RATE of the answers are errors."""
    errors = [answer for answer in answers if answer.error]
    if len(errors) > MAX_ERROR_RATE * len(answers):
        raise ServerError(
            f"{name}: invalid, {len(errors)} of {len(answers)} answers are missing, "
            f"the first ({errors[0].case}): {errors[0].error} - the other answers are cached, "
            f"build again to request the rest{f'; logs are in {logs}' if logs else ''}"
        )
