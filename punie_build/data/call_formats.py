"""The formats in which bases write calls, how a base's format is recognized, and the reader of a generated turn.

`mlx_lm.server` has a parser for some of these formats only, and leaves the calls of the others in the text. Here all of
them are read: in the round trip of the preflight, and in the answers of evals.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct

from punie_build.data.call_syntax import (
    Properties,
    Syntax,
    function_tag,
    gemma_calls,
    invoke_tags,
    is_json_call,
    json_calls,
    json_or,
    named_json,
    python_calls,
    python_lines,
    tagged_pairs,
)
from punie_build.data.example import ToolCall
from punie_build.data.marked_calls import NAMESPACE, kimi_k3, minimax_m3
from punie_build.data.tool_call_markup.json_values import parse_value_at, skip_whitespace
from punie_build.data.tool_call_markup.qwen3_coder import parse_function
from punie_build.data.tool_call_markup.span import ParseContext

_TAGGED = tagged_pairs()
_NAMED = r"([\w.:/-]+)"


def _tool_call_tag(text: str, start: int, properties: Properties) -> tuple[list[ToolCall], int]:
    inside = skip_whitespace(text, start)
    if not text.startswith("<function=", inside):
        return json_or(_TAGGED)(text, start, properties)
    span = parse_function(text, inside, ParseContext(dict(properties)), start)
    return list(span.calls), text.rfind("</tool_call>", 0, span.end)


def _bare(text: str, start: int, properties: Properties) -> tuple[list[ToolCall], int]:
    """Parse calls without a mark: the JSON of an answer that is no call stays text, and a list in brackets too."""
    if not re.compile(r"\s*\[?\s*\{").match(text, start):
        return python_calls(text, start, properties)
    value, _ = parse_value_at(text, start)
    return json_calls(text, start, properties) if is_json_call(value) else ([], start)


class CallFormat(Struct, frozen=True):
    """A format of calls: the marks by which a chat template or a vocabulary shows it, the pattern behind which a call
    begins, the syntax of the calls, and the pattern of their end.

    `noise`: the pattern of further marks, which belong to no text.
    """

    name: str
    marks: tuple[str, ...]
    opening: str
    syntax: Syntax
    closing: str = r"\s*"
    noise: str = r"(?!)"


def _tags(name: str, start: str, end: str, syntax: Syntax, *marks: str) -> CallFormat:
    """Return a format whose calls stand between two marks, of which the second may be absent at the end."""
    return CallFormat(name, (start, *marks), re.escape(start), syntax, rf"\s*(?:{re.escape(end)}|\Z)")


_BARE_JSON = r"\{\s*\"(?:name|type|function|tool)\"|\[\s*\{\s*\"(?:name|type|function|tool)\""
_BARE_START = rf"\A\s*(?={_BARE_JSON}|\[\w[\w.]*\()"
_DSML = "｜DSML｜"  # of DeepSeek V3.2
_HARMONY = r"(?:<\|start\|>assistant\s*)?<\|channel\|>(?:final|commentary)\s*<\|message\|>|<\|(?:end|return|call)\|>"
PLAIN = CallFormat("plain JSON", (), _BARE_START, _bare)
GEMMA3 = CallFormat(  # whose template has no calls: they are written as its prompts ask for them
    "Gemma 3",
    ("<start_of_turn>",),
    rf"```tool_code\s*\n|```json\s*\n(?={_BARE_JSON})|{_BARE_START}",
    _bare,
    r"\s*(?:```)?",
)
HERMES = _tags("<tool_call>", "<tool_call>", "</tool_call>", _tool_call_tag)
FORMATS = (
    CallFormat(
        "Llama",
        ("<|python_tag|>", "<|python_start|>"),
        rf"<\|python_tag\|>|<\|python_start\|>(?:<\|python_end\|>)?|{_BARE_START}",
        json_or(python_calls),
        r"\s*(?:<\|python_end\|>)?",
    ),
    CallFormat(
        "Mistral",
        ("[TOOL_CALLS]",),
        r"\[TOOL_CALLS\]",
        json_or(named_json(_NAMED, r"(?:\[CALL_ID\][\w-]+\s*)?(?:\[ARGS\])?")),
    ),
    CallFormat(
        "DeepSeek V3",
        ("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"),
        r"(?:<｜tool▁calls▁begin｜>\s*)?<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?|<｜tool▁calls▁begin｜>",
        named_json(_NAMED, r"(?:\n```json\n|<｜tool▁sep｜>)"),
        r"\s*(?:```)?\s*(?:<｜tool▁call▁end｜>|\Z)\s*",
        r"<｜tool▁calls▁end｜>",
    ),
    CallFormat(
        "DeepSeek V3.2",
        (_DSML,),
        f"<{_DSML}(?:function_calls|tool_calls)>",
        invoke_tags(prefix=_DSML),
        rf"\s*</{_DSML}(?:function_calls|tool_calls)>|\s*\Z",
    ),
    CallFormat(
        "gpt-oss",
        ("<|channel|>",),
        r"(?:(?:<\|start\|>assistant\s*)?<\|channel\|>(?:commentary|analysis)|<\|start\|>assistant|\A)"
        r"\s*to=(?:functions\.)?",
        named_json(r"([\w.-]+)", r"[^<]*(?:<\|(?:channel|constrain)\|>[^<]*)*<\|message\|>"),
        r"\s*(?:<\|call\|>|<\|end\|>|\Z)",
        _HARMONY,
    ),
    CallFormat(
        "Command R",
        ("<|CHATBOT_TOKEN|>", "<|START_ACTION|>"),
        r"<\|START_ACTION\|>|Action:\s*```json",
        json_calls,
        r"\s*(?:<\|END_ACTION\|>|```|\Z)",
        r"<\|(?:START|END)_(?:RESPONSE|TEXT)\|>|<\|END_OF_TURN_TOKEN\|>",
    ),
    _tags("Jamba", "<tool_calls>", "</tool_calls>", json_calls),
    _tags("Gemma 4", "<|tool_call>", "<tool_call|>", gemma_calls('<|"|>')),
    _tags("FunctionGemma", "<start_function_call>", "<end_function_call>", gemma_calls("<escape>")),
    CallFormat(
        "Kimi K2",
        ("<|tool_calls_section_begin|>",),
        r"(?:<\|tool_calls_section_begin\|>\s*)?<\|tool_call_begin\|>|<\|tool_calls_section_begin\|>",
        named_json(r"(?:functions\.)?([\w./-]+?)(?::\d+)?", r"<\|tool_call_argument_begin\|>"),
        r"\s*(?:<\|tool_call_end\|>|\Z)\s*",
        r"<\|tool_calls_section_end\|>",
    ),
    _tags("MiniMax M2", "<minimax:tool_call>", "</minimax:tool_call>", invoke_tags()),
    CallFormat("Phi-4, Granite", ("<|tool_call|>",), r"<\|tool_call\|>", json_calls, r"\s*(?:<\|/tool_call\|>)?"),
    _tags("LFM2", "<|tool_call_start|>", "<|tool_call_end|>", json_or(python_calls), "<|tool_list_start|>"),
    CallFormat("Kimi K3", ("<|open|>",), r"<\|open\|>tools<\|sep\|>", kimi_k3, r"\s*(?:<\|close\|>tools<\|sep\|>|\Z)",
               r"<\|(?:open|close)\|>(?:response|message)<\|sep\|>"),
    CallFormat("MiniMax M3", (NAMESPACE,), rf"{re.escape(NAMESPACE)}<tool_call>", minimax_m3,
               rf"\s*(?:{re.escape(NAMESPACE)}</tool_call>|\Z)"),
    CallFormat("functionary", (">>>${recipient}",), r"(?:\A|>>>)(?=(?!all\n)[\w.:/-]+\n\s*\{)",
               named_json(_NAMED, r"\n"), noise=r"(?:\A|>>>)all\n"),
    CallFormat("GigaChat", ("<|role_sep|>", "<|function_call|>"), r"<\|function_call\|>|function call<\|role_sep\|>",
               json_calls, noise=r"(?:assistant<\|role_sep\|>|<\|message_sep\|>)\s*"),
    _tags("Nemotron 2", "<TOOLCALL>", "</TOOLCALL>", json_calls),
    CallFormat("Hunyuan 3", ("<tool_calls:opensource>", "<tool_sep{}>"),
               r"(?:<tool_calls:opensource>\s*)?<tool_call:opensource>", tagged_pairs(suffix=":opensource"),
               r"\s*(?:</tool_call:opensource>|\Z)\s*(?:</tool_calls:opensource>)?"),
    CallFormat("Solar Open", ("<|tool_call:begin|>",),
               r"(?:<\|tool_calls\|>\s*)?<\|tool_call:begin\|>[\w-]*<\|tool_call:name\|>",
               named_json(_NAMED, r"<\|tool_call:args\|>"), r"\s*(?:<\|tool_call:end\|>|\Z)", r"<\|calls\|>"),
    CallFormat("InternLM", ("<|action_start|>",), r"<\|action_start\|>\s*<\|plugin\|>", json_calls,
               r"\s*(?:<\|action_end\|>|\Z)"),
    CallFormat("Firefunction", ("functools[",), r"functools(?=\[)", json_calls),
    _tags("OLMo 3", "<function_calls>", "</function_calls>", python_lines),
    _tags("Seed-OSS", "<seed:tool_call>", "</seed:tool_call>", function_tag),
    _tags("LongCat", "<longcat_tool_call>", "</longcat_tool_call>", json_or(tagged_pairs("longcat_"))),
    _tags("Apertus", "<|tools_prefix|>", "<|tools_suffix|>", json_calls),
    CallFormat(
        "Muse",
        ("<atem:function_calls>",),
        r"(?:to=\S+?<\|message\|>)?<atem:function_calls>",
        invoke_tags(prefix="atem:"),
        r"\s*(?:</atem:function_calls>|\Z)",
        r"<\|eom\|>\s*<\|start\|>assistant\s*",
    ),
    CallFormat("MiniCPM5", ('<function name="',), r'(?=<function name=")', invoke_tags("function", "param")),
    HERMES,
    CallFormat("<function=>", ("<function=",), r"(?=<function=[\w.:/-]+>)", function_tag),
)  # fmt: skip


class ReadTurn(Struct, frozen=True):
    """The parts of a generated turn: its text without calls, the calls, and the number of calls that are malformed."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    malformed: int = 0


class CallReader(Struct, frozen=True):
    """The reader of the calls of a base: its formats, and whether `mlx_lm.server` has a parser for them."""

    formats: tuple[CallFormat, ...]
    served: bool = False

    @property
    def name(self) -> str:
        """The names of the formats, for messages."""
        return ", ".join(form.name for form in self.formats)

    def read(self, turn: str, tools: Iterable[Any] | None = None) -> ReadTurn:
        """Return the parts of a generated turn without its thoughts. `tools`: declarations, which type arguments."""
        properties = tool_properties(tools or ())
        calls, parts, malformed, position, start = list[ToolCall](), list[str](), 0, 0, 0
        openings = [(form, re.compile(form.opening)) for form in self.formats]
        while found := [(match.start(), -len(match[0]), form, match) for form, pattern in openings
                        if (match := pattern.search(turn, position))]:  # fmt: skip
            begin, _, form, match = min(found, key=lambda item: item[:2])
            try:
                parsed, end = form.syntax(turn, match.end(), properties)
                if parsed and not (closing := re.compile(form.closing).match(turn, end)):
                    raise ValueError("text between a call and its end")
                end = closing.end() if parsed and closing else end
            except (ValueError, RecursionError):
                malformed += 1
                position = max(match.end(), begin + 1)
                continue
            if end > begin and (parsed or match[0]):
                parts.append(turn[start:begin])
                calls += parsed
                start = end
            position = max(end, match.end(), begin + 1)
        parts.append(turn[start:])
        if not calls and not malformed:
            return ReadTurn(self._without_noise(turn))
        text = "\n\n".join(filter(None, (self._without_noise(part).strip() for part in parts)))
        return ReadTurn(text, tuple(calls), malformed)

    def _without_noise(self, text: str) -> str:
        for form in self.formats:
            text = re.sub(form.noise, "", text)
        return text


def tool_properties(tools: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Return the properties of declared tools by the tool's name."""
    properties = {}
    for tool in tools:
        function = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        schema = function.get("parameters")
        own = schema.get("properties") if isinstance(schema, Mapping) else None
        properties[str(function.get("name", ""))] = dict(own) if isinstance(own, Mapping) else {}
    return properties


def call_reader(template: str, vocabulary: Collection[str], served: bool | None = None) -> CallReader:
    """Return the reader for a base, by its chat template and its vocabulary.

    A template that writes calls without any mark has them as plain JSON, beside the formats of the vocabulary. A base
    without a known format is read as if it wrote `<tool_call>`, for this is the markup that data sets train most.
    `served`: whether mlx-lm has a parser, if that is known.
    """
    served = has_parser(template, vocabulary) if served is None else served
    own = tuple(form for form in FORMATS if any(mark in template for mark in form.marks))
    own = own or ((HERMES, GEMMA3) if GEMMA3.marks[0] in template else ())
    own = own or tuple(form for form in FORMATS if any(mark in vocabulary for mark in form.marks))
    if "tool_calls" in template and not served and not any(mark in template for form in own for mark in form.marks):
        own = (*(form for form in own if form is not HERMES), PLAIN)  # many vocabularies have <tool_call>
    if HERMES in own:  # which reads <function=...> within <tool_call>
        own = tuple(form for form in own if form.name != "<function=>")
    return CallReader(own or (HERMES,), served)


PARSED = (  # the marks in a chat template by which mlx-lm 0.32 chooses a parser; all marks of one line must be there
    ("<minimax:tool_call>",), ("<|tool_call>", "<tool_call|>"), ("<start_function_call>",), ("<longcat_tool_call>",),
    ("<arg_key>",), ("<|tool_list_start|>",), ("<|tool_call_start|>",), ("<tool_call>\\n<function=",),
    ("<tool_call>\n<function=",), ("<|tool_calls_section_begin|>",), ('<function name="', '<param name="'),
    ("[TOOL_CALLS]",), ("<atem:function_calls>",), ("<tool_call>", "tool_call.name"),
)  # fmt: skip


PARSED_TOKENS = (("<|tool_call_start|>", "<|tool_call_end|>"), ("<|open|>", "<|close|>", "<|sep|>"))  # or these


def has_parser(template: str, vocabulary: Collection[str]) -> bool:
    """Return whether `mlx_lm.server` has a parser for the calls of a base."""
    if any(all(mark in template for mark in marks) for marks in PARSED):
        return True
    return any(all(mark in vocabulary for mark in marks) for marks in PARSED_TOKENS)
