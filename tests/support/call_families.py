"""Minimal chat templates in the structure of published families, in our own writing, for the forms of their calls."""

from __future__ import annotations

from tests.support.template_families import ASSISTANT, CALL, Family, turns

ARGS = "{{ c.function.arguments | tojson }}"
NAME = "{{ c.function.name }}"
LOOP, END = "{% for c in m.tool_calls or [] %}", "{% endfor %}"
TYPED = "{% for k, v in c.function.arguments.items() %}"
VALUE = "{{ v if v is string else v | tojson }}"
PYTHON = (
    "{% macro value(v) %}{% if v is string %}{{ v | tojson }}{% elif v is none %}None{% elif v is sameas true %}True"
    "{% elif v is sameas false %}False{% else %}{{ v | tojson }}{% endif %}{% endmacro %}"
)
PYTHON_CALLS = (
    "[" + LOOP + NAME + "(" + TYPED + "{{ k }}={{ value(v) }}{{ ', ' if not loop.last }}{% endfor %})"
    "{{ ', ' if not loop.last }}" + END + "]"
)
GEMMA = (
    "{% macro value(v) %}{% if v is string %}QUOTE{{ v }}QUOTE{% elif v is mapping %}{{ '{' }}{% for k, w in v.items()"
    " %}{{ k }}:{{ value(w) }}{{ ',' if not loop.last }}{% endfor %}{{ '}' }}{% elif v is iterable %}[{% for w in v %}"
    "{{ value(w) }}{{ ',' if not loop.last }}{% endfor %}]{% else %}{{ v | tojson }}{% endif %}{% endmacro %}"
)
INVOKE = '<invoke name="' + NAME + '">\n' + TYPED + '<parameter name="{{ k }}">' + VALUE + "</parameter>\n{% endfor %}"
DSML_CALLS = (
    '<｜DSML｜invoke name="' + NAME + '">\n' + TYPED + '<｜DSML｜parameter name="{{ k }}" string="'
    "{{ 'true' if v is string else 'false' }}\">" + VALUE + "</｜DSML｜parameter>\n{% endfor %}</｜DSML｜invoke>\n"
)
FUNCTION = (
    "<function=" + NAME + ">\n" + TYPED + "<parameter={{ k }}>\n" + VALUE + "\n</parameter>\n{% endfor %}</function>"
)
HARMONY = (
    "{% for m in messages %}{% if m.role == 'assistant' and m.tool_calls %}{% if m.tool_calls | length > 1 %}"
    "{{ raise_exception('one call at a time') }}{% endif %}{% set c = m.tool_calls[0] %}{% if m.content %}<|start|>"
    "assistant<|channel|>analysis<|message|>{{ m.content }}<|end|>{% endif %}<|start|>assistant to=functions." + NAME +
    "<|channel|>commentary json<|message|>" + ARGS + "<|call|>{% else %}<|start|>{{ m.role }}{% if m.role == "
    "'assistant' %}<|channel|>final{% endif %}<|message|>{{ m.content }}<|return|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)  # fmt: skip


def call_family(calls: str, before: str = "", words: str = "{{ m.content or '' }}", ends: str = "<|im_end|>") -> Family:
    """Return a family that writes the words and the calls of a turn so, between ChatML's marks."""
    head = "<|im_start|>{{ m.role }}\n"
    body = head + "{% if m.tool_calls %}" + words + calls + "{% else %}{{ m.content }}{% endif %}" + ends + "\n"
    tools = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}" + ends + "\n{% endif %}"
    return Family(turns(body, ASSISTANT, before + tools), (ends,))


def tagged(start: str, end: str, calls: str, before: str = "") -> Family:
    """Return a family whose calls stand between two marks, each."""
    return call_family(f"{LOOP}{start}{calls}{end}{END}", before)


NS = "]<]minimax[>["
XML = (
    "{% macro xml(v) %}{% if v is mapping %}{% for k, w in v.items() %}" + NS + "<{{ k }}>{{ xml(w) }}" + NS
    + "</{{ k }}>{% endfor %}{% elif v is iterable and v is not string %}{% for w in v %}" + NS + "<item>{{ xml(w) }}"
    + NS + "</item>{% endfor %}{% else %}{{ v if v is string else v | tojson }}{% endif %}{% endmacro %}"
)  # fmt: skip
LIST = "[" + LOOP + CALL + "{{ ', ' if not loop.last }}" + END + "]"
ONE = "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call at a time') }}{% endif %}"
CALL_FAMILIES: dict[str, Family] = {
    "Llama 3": call_family(
        ONE + LOOP + CALL.replace("arguments", "parameters", 1) + END + "{# <|python_tag|> #}", "", ""
    ),
    "Llama 3, python tag": call_family(
        LOOP + "{{ '<|python_tag|>' if loop.first else '; ' }}" + CALL.replace("arguments", "parameters", 1) + END
    ),
    "Llama 4": call_family("<|python_start|>" + PYTHON_CALLS + "<|python_end|>", PYTHON),
    "Llama 4, no mark": call_family(PYTHON_CALLS + "{# <|python_start|> #}", PYTHON, ""),
    "plain JSON": call_family(LOOP + CALL.replace("arguments", "parameters", 1) + END, "", ""),
    "Mistral v3": call_family("[TOOL_CALLS]" + LIST, "", ""),
    "Mistral Tekken": call_family("[TOOL_CALLS] " + LIST.replace("}}}{{", '}}, "id": "{{ c.id }}"}{{')),
    "Mistral v11": tagged("[TOOL_CALLS]", "", NAME + "[ARGS]" + ARGS),
    "Mistral Small 3.2": tagged("[TOOL_CALLS]", "", NAME + "[CALL_ID]{{ c.id }}[ARGS]" + ARGS),
    "Hermes": tagged("<tool_call>\n", "\n</tool_call>\n", CALL + "{# tool_call.name #}"),
    "Qwen3-Coder": tagged("<tool_call>\n", "\n</tool_call>", FUNCTION),
    "DeepSeek V3": call_family(
        "<｜tool▁calls▁begin｜>" + LOOP + "<｜tool▁call▁begin｜>{{ c.type }}<｜tool▁sep｜>" + NAME + "\n```json\n" + ARGS
        + "\n```<｜tool▁call▁end｜>{{ '\\n' if not loop.last }}" + END + "<｜tool▁calls▁end｜>"
    ),
    "DeepSeek V3.1": call_family(
        "<｜tool▁calls▁begin｜>" + LOOP + "<｜tool▁call▁begin｜>" + NAME + "<｜tool▁sep｜>"
        "{{ c.function.arguments + '' }}<｜tool▁call▁end｜>" + END + "<｜tool▁calls▁end｜>"
    ),
    "DeepSeek V3.2": call_family("<｜DSML｜function_calls>\n" + LOOP + DSML_CALLS + END + "</｜DSML｜function_calls>"),
    "gpt-oss": Family(HARMONY, ("<|return|>", "<|call|>")),
    "Command R": call_family(
        "Action: ```json\n[" + LOOP + '{"tool_name": "' + NAME + '", "parameters": ' + ARGS
        + "}{{ ',' if not loop.last }}" + END + "]```{# <|CHATBOT_TOKEN|> #}"
    ),
    "Command R7B": call_family(
        "<|START_ACTION|>[\n" + LOOP + '{"tool_call_id": "{{ loop.index0 }}", "tool_name": "' + NAME
        + '", "parameters": ' + ARGS + "}{{ ',' if not loop.last }}\n" + END + "]<|END_ACTION|>", "", ""
    ),
    "Jamba": call_family("<tool_calls>" + LIST + "</tool_calls>"),
    "Gemma 4": tagged("<|tool_call>", "<tool_call|>", "call:" + NAME + "{{ value(c.function.arguments) }}",
                      GEMMA.replace("QUOTE", '<|"|>')),
    "FunctionGemma": tagged("<start_function_call>", "<end_function_call>",
                            "call:" + NAME + "{{ value(c.function.arguments) }}", GEMMA.replace("QUOTE", "<escape>")),
    "GLM": tagged("<tool_call>", "</tool_call>", NAME + "\n" + TYPED + "<arg_key>{{ k }}</arg_key>\n<arg_value>" + VALUE
                  + "</arg_value>\n{% endfor %}"),
    "LongCat": tagged("<longcat_tool_call>", "</longcat_tool_call>", NAME + "\n" + TYPED + "<longcat_arg_key>{{ k }}"
                      "</longcat_arg_key>\n<longcat_arg_value>" + VALUE + "</longcat_arg_value>\n{% endfor %}"),
    "Kimi K2": call_family(
        "<|tool_calls_section_begin|>" + LOOP + "<|tool_call_begin|>functions." + NAME + ":{{ loop.index0 }}"
        "<|tool_call_argument_begin|>" + ARGS + "<|tool_call_end|>" + END + "<|tool_calls_section_end|>"
    ),
    "MiniMax M2": call_family("<minimax:tool_call>\n" + LOOP + INVOKE + "</invoke>\n" + END + "</minimax:tool_call>"),
    "Muse": call_family(
        "to=x<|message|><atem:function_calls>\n" + LOOP
        + (INVOKE + "</invoke>\n").replace("<invoke", "<atem:invoke").replace("</invoke", "</atem:invoke")
        .replace("<parameter", "<atem:parameter").replace("</parameter", "</atem:parameter") + END
        + "</atem:function_calls>"
    ),
    "MiniCPM5": call_family(LOOP + INVOKE.replace("invoke", "function").replace("parameter ", "param ")
                            .replace("</parameter>", "</param>") + "</function>\n" + END),
    "Granite 3": call_family("<|tool_call|>" + LIST),
    "Phi-4-mini": call_family("<|tool_call|>" + LIST + "<|/tool_call|>"),
    "LFM2.5": call_family("<|tool_call_start|>" + PYTHON_CALLS + "<|tool_call_end|>", PYTHON),
    "Seed-OSS": tagged("<seed:tool_call>\n", "\n</seed:tool_call>", FUNCTION),
    "Apertus": call_family(
        "<|tools_prefix|>[" + LOOP + '{"' + NAME + '": ' + ARGS + "}{{ ', ' if not loop.last }}" + END
        + "]<|tools_suffix|>"
    ),
    "Kimi K3": call_family(
        "<|open|>tools<|sep|>" + LOOP + '<|open|>call tool="' + NAME + '" index="{{ loop.index }}"<|sep|>' + TYPED
        + '<|open|>argument key="{{ k }}" type="{{ \'string\' if v is string else \'other\' }}"<|sep|>' + VALUE
        + "<|close|>argument<|sep|>{% endfor %}<|close|>call<|sep|>" + END + "<|close|>tools<|sep|>"
    ),
    "MiniMax M3": call_family(
        NS + "<tool_call>\n" + LOOP + NS + '<invoke name="' + NAME + '">{{ xml(c.function.arguments) }}' + NS
        + "</invoke>\n" + END + NS + "</tool_call>", XML
    ),
    "functionary v3.2": call_family(
        LOOP + ">>>" + NAME + "\n" + ARGS + END, "{# >>>${recipient} #}",
        "{% if m.content %}>>>all\n{{ m.content }}{% endif %}"
    ),
    "GigaChat 3": call_family(LOOP + "<|message_sep|>\n\nfunction call<|role_sep|>\n" + CALL + "<|message_sep|>" + END),
    "GigaChat 3.1": call_family(LOOP + "<|function_call|>" + CALL + END),
    "Nemotron 2": call_family("<TOOLCALL>" + LIST + "</TOOLCALL>"),
    "Hunyuan 3": call_family(
        "<tool_calls:opensource>\n" + LOOP + "<tool_call:opensource>" + NAME + "<tool_sep:opensource>\n" + TYPED
        + "<arg_key:opensource>{{ k }}</arg_key:opensource>\n<arg_value:opensource>" + VALUE
        + "</arg_value:opensource>\n{% endfor %}</tool_call:opensource>\n" + END + "</tool_calls:opensource>"
    ),
    "Solar Open": call_family(
        "<|tool_calls|>" + LOOP + "<|tool_call:begin|>{{ c.id }}<|tool_call:name|>" + NAME + "<|tool_call:args|>" + ARGS
        + "<|tool_call:end|>" + END + "<|calls|>"
    ),
    "InternLM": tagged("<|action_start|><|plugin|>", "<|action_end|>", CALL.replace("arguments", "parameters", 1)),
    "Firefunction": call_family(" functools[" + LIST[1:]),
    "OLMo 3": call_family(
        "<function_calls>\n" + PYTHON_CALLS[1:-1].replace("){{ ', ' if not loop.last }}", ")\n") + "</function_calls>",
        PYTHON
    ),
    "Gemma 3": call_family("```tool_code\n" + PYTHON_CALLS + "\n```{# <start_of_turn> #}", PYTHON),
    "Gemma 3, JSON": call_family("```json\n" + LIST + "\n```{# <start_of_turn> #}"),
    "functionary v3.1": tagged("<function=" + NAME + ">", "</function>", ARGS),
}  # fmt: skip
