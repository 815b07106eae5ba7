"""Minimal chat templates in the structure of published families, in our own writing: headers, ends, order, and what
each leaves out. A tokenizer for each renders them as transformers does."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers.utils.chat_template_utils import render_jinja_template


class Family(NamedTuple):
    """A chat template, and the marks that end generation, of which the first is the tokenizer's own."""

    template: str
    ends: tuple[str, ...]


class FamilyTokenizer:
    """The part of mlx-lm's tokenizer that renders a chat template."""

    def __init__(self, family: Family) -> None:
        self.chat_template, self.marks = family.template, family.ends
        self.eos_token, self.eos_token_ids = family.ends[0], range(len(family.ends))

    def convert_ids_to_tokens(self, number: int) -> str:
        return self.marks[number]

    def apply_chat_template(
        self, messages: Any, tools: Any = None, tokenize: bool = False, add_generation_prompt: bool = False, **kw: Any
    ) -> str:
        assert not tokenize
        texts, _ = render_jinja_template(
            conversations=[messages],
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            eos_token=self.eos_token,
            **{"chat_template": self.chat_template} | kw,
        )
        return texts[0]


def turns(body: str, prompt: str, before: str = "") -> str:
    """Return a template with a `body` for each message `m`, and the `prompt` of the next turn."""
    return f"{before}{{% for m in messages %}}{body}{{% endfor %}}{{% if add_generation_prompt %}}{prompt}{{% endif %}}"


NL = "{{ '\\n' }}"
CALL = '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}'
CALLS = f"{{% for c in m.tool_calls or [] %}}<tool_call>{CALL}</tool_call>{{% endfor %}}"
TOOLS = "{% if tools %}<|im_start|>system" + NL + "{{ tools | tojson }}<|im_end|>" + NL + "{% endif %}"
HEAD = "<|im_start|>{{ m.role }}" + NL
ASSISTANT = "<|im_start|>assistant" + NL
ALT = "<|im_end|>" + NL
THOUGHT = "{{ m.reasoning_content or '' }}"
LAST = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}"
)
CHATML = turns(HEAD + "{{ m.content }}" + CALLS + ALT, ASSISTANT, TOOLS)
THINK = f"<think>{NL}{THOUGHT}{NL}</think>{NL}{NL}"
OF_LAST = "{% if m.role == 'assistant' and loop.index0 > ns.last %}"
LLAMA_HEAD = "<|start_header_id|>{{ 'ipython' if m.role == 'tool' else m.role }}<|end_header_id|>" + NL + NL
LLAMA = turns(
    LLAMA_HEAD
    + "{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}{{ raise_exception('one call at a time') }}{% endif %}"
    "{% set c = m.tool_calls[0] %}"
    + CALL.replace("arguments", "parameters", 1)
    + "{% else %}{{ m.content | trim }}{% endif %}<|eot_id|>",
    "<|start_header_id|>assistant<|end_header_id|>" + NL + NL,
    "{% if tools %}{{ tools | tojson }}{% endif %}",
)
MISTRAL = (
    "{% set users = messages | selectattr('role', 'equalto', 'user') | list %}{% for m in messages %}"
    "{% if m.role == 'user' %}{% if tools and m == users[-1] %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]"
    "{% endif %}[INST]{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}"
    "{{ m.content }}[/INST]{% elif m.tool_calls %}[TOOL_CALLS][{% for c in m.tool_calls %}" + CALL + "{{ ', ' if not "
    "loop.last }}{% endfor %}]</s>{% elif m.role == 'assistant' %} {{ m.content }}</s>{% elif m.role == 'tool' %}"
    "[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]{% endif %}{% endfor %}"
)
MINISTRAL = turns(
    "{% if m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content }}[/SYSTEM_PROMPT]{% elif m.role == 'user' %}[INST]"
    "{{ m.content }}[/INST]{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]{% else %}"
    "{% if m.reasoning_content %}[THINK]{{ m.reasoning_content }}[/THINK]{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}"
    "{% endfor %}</s>{% endif %}",
    "",
)
GEMMA3 = turns(
    "{% if m.role not in ('user', 'assistant') %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}" + NL + "{{ m.content | trim }}<end_of_turn>" + NL,
    "<start_of_turn>model" + NL,
)
GEMMA4 = (
    "{% set ns = namespace(type='') %}{% for m in messages %}{% if m.role != 'tool' %}"
    "{% if not (m.role == 'assistant' and ns.type == 'result') %}<|turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}" + NL + "{% endif %}{% set ns.type = m.role %}"
    "{% for c in m.tool_calls or [] %}{% set ns.type = 'call' %}<|tool_call>call:"
    "{{ c.function.name }}{{ c.function.arguments | tojson }}<tool_call|>{% endfor %}{% if m.tool_calls %}"
    "{% set next = namespace(stop=false) %}{% for r in messages[loop.index:] %}{% if r.role != 'tool' %}"
    "{% set next.stop = true %}{% elif not next.stop %}<|tool_response>{{ r.content }}<tool_response|>"
    "{% set ns.type = 'result' %}{% endif %}{% endfor %}{% endif %}{{ m.content | trim }}"
    "{% if ns.type == 'call' %}<|tool_response>{% elif ns.type != 'result' or m.content %}<turn|>" + NL + "{% endif %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt and ns.type != 'result' %}<|turn>model" + NL + "{% endif %}"
)
GEMMA4_HEADED = GEMMA4.replace(  # the prompt behind a result has a header, which no text has there
    "{% if add_generation_prompt and ns.type != 'result' %}", "{% if add_generation_prompt %}"
)
PHI = turns("<|{{ m.role }}|>" + NL + "{{ m.content }}<|end|>" + NL, "<|assistant|>" + NL)
PHI35 = (
    "{% for m in messages %}{% if m.role in ('system', 'user', 'assistant') %}<|{{ m.role }}|>" + NL + "{{ m.content }}"
    "<|end|>" + NL + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>" + NL + "{% else %}<|endoftext|>{% endif %}"
)
QWEN3 = turns(
    OF_LAST
    + "{% if loop.last or m.reasoning_content %}"
    + ASSISTANT
    + THINK
    + "{% else %}"
    + HEAD
    + "{% endif %}{% else %}"
    + HEAD
    + "{% endif %}{{ m.content }}"
    + CALLS
    + ALT,
    ASSISTANT + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
    LAST + TOOLS,
)
QWEN35 = turns(
    OF_LAST + ASSISTANT + THINK + "{% else %}" + HEAD + "{% endif %}{{ m.content }}" + CALLS + ALT,
    ASSISTANT
    + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>"
    + NL
    + "{% endif %}",
    LAST + TOOLS,
)
QWEN3_CODER = CHATML.replace(
    CALL,
    NL + "<function={{ c.function.name }}>{% for k, v in c.function.arguments.items() %}<parameter={{ k }}>" + NL
    + "{{ v }}</parameter>{% endfor %}</function>",
)  # fmt: skip
GLM = turns(
    "{% if m.role == 'assistant' %}<|assistant|>" + NL + "<think>{{ m.reasoning_content if m.reasoning_content and "
    "loop.index0 > ns.last else '' }}</think>"
    + NL
    + "{{ m.content }}"
    + CALLS
    + "{% else %}<|{{ 'observation' if m.role == "
    "'tool' else m.role }}|>" + NL + "{{ m.content }}{% endif %}",
    "<|assistant|>",
    LAST,
)
HARMONY = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% if m.tool_calls %}{% if m.thinking or "
    "m.content %}<|start|>"
    "assistant<|channel|>analysis<|message|>{{ m.thinking or m.content }}<|end|>{% endif %}{% set c "
    "= m.tool_calls[0] %}"
    "<|start|>assistant to=functions.{{ c.function.name }}<|channel|>commentary<|message|>{{ c.function.arguments | "
    "tojson }}<|call|>{% elif loop.last and not add_generation_prompt %}{% if m.thinking "
    "%}<|start|>assistant<|channel|>"
    "analysis<|message|>{{ m.thinking }}<|end|>{% endif %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "<|return|>{% else %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>{% "
    "endif %}{% else %}<|start|>"
    "{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
DEEPSEEK = (
    "{% set ns = namespace(tool=false) %}{% for m in messages %}{% if m.role == 'system' %}{{ "
    "m.content }}{% elif m.role "
    "== 'user' %}{% set ns.tool = false %}<|User|>{{ m.content }}{% elif m.role == 'tool' %}{% set ns.tool = true %}"
    "<|tool_output|>{{ m.content }}<|/tool_output|>{% elif m.tool_calls %}<|Assistant|>{{ m.content or '' }}"
    "{% for c in m.tool_calls %}{{ '<|call|>' + c.function.name + '<|sep|>' + c.function.arguments + '<|/call|>' }}"
    "{% endfor %}<|eos|>{% else %}{% if not ns.tool %}<|Assistant|>{% endif %}{% set ns.tool = false %}"
    "{{ m.content.split('</think>')[-1] }}<|eos|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt and not ns.tool %}<|Assistant|>PROMPT{% endif %}"
)
COMMAND_R = turns(
    "<|START_OF_TURN_TOKEN|><|{{ {'assistant': 'CHATBOT', 'user': 'USER'}.get(m.role, 'SYSTEM') }}_TOKEN|>"
    "{% if m.role == 'assistant' %}{% if m.tool_calls %}<|START_ACTION|>{% for c in m.tool_calls %}"
    + CALL
    + "{% endfor %}"
    "<|END_ACTION|>{% else %}<|START_RESPONSE|>{{ m.content }}<|END_RESPONSE|>{% endif %}{% else %}{{ m.content }}"
    "{% endif %}<|END_OF_TURN_TOKEN|>",
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_THINKING|>",
)
COMMAND_R_PLUS = (
    "{% for m in messages %}<|START_OF_TURN_TOKEN|><|"
    "{{ {'assistant': 'CHATBOT', 'user': 'USER'}.get(m.role, 'SYSTEM') }}_TOKEN|>{{ m.content | trim }}"
    "{% if m.tool_calls %}" + NL + "Action:" + NL + "[{% for c in m.tool_calls %}"
    + CALL
    + "{% endfor %}]" + NL + "{% else %}<|END_OF_TURN_TOKEN|>{% endif %}{% endfor %}"
    "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>SYSTEMTEXT Write an action.<|END_OF_TURN_TOKEN|>"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
)  # fmt: skip
HERMES = turns(
    "{% if m.tool_calls %}<|im_start|>assistant{% for c in m.tool_calls %}<tool_call>"
    + CALL
    + "</tool_call>{% endfor %}"
    "{% else %}" + HEAD + "{{ m.content }}{% endif %}" + ALT,
    ASSISTANT,
    TOOLS,
)
MINIMAX = turns(
    "]~b]{{ 'ai' if m.role == 'assistant' else m.role }}"
    + NL
    + "{% if m.reasoning_content and loop.index0 > ns.last %}"
    "<think>"
    + NL
    + "{{ m.reasoning_content }}"
    + NL
    + "</think>"
    + NL
    + NL
    + "{% endif %}{{ m.content }}"
    + CALLS
    + "[e~["
    + NL,
    "]~b]ai" + NL + "<think>" + NL,
    LAST,
)
KIMI = turns(
    "<|im_{{ m.role }}|>{{ m.role }}<|im_middle|>{{ m.content }}{% if m.tool_calls %}<|tool_calls_section_begin|>"
    "{% for c in m.tool_calls %}<|tool_call_begin|>{{ c.id }}<|tool_call_argument_begin|>{{ c.function.name }}"
    "{{ c.function.arguments | tojson }}<|tool_call_end|>{% endfor %}<|tool_calls_section_end|>{% endif %}<|im_end|>",
    "<|im_assistant|>assistant<|im_middle|>",
)
NEMOTRON = turns(
    HEAD + "{% if m.role == 'assistant' %}{% if m.reasoning_content and loop.index0 > ns.last %}<think>" + NL
    + "{{ m.reasoning_content }}" + NL
    + "</think>{% else %}<think></think>{% endif %}{% endif %}{{ m.content }}" + CALLS + ALT,
    ASSISTANT + "<think>" + NL,
    LAST + TOOLS,
)  # fmt: skip
LFM = turns(HEAD + "{{ m.content.split('</think>')[-1] }}" + CALLS + ALT, ASSISTANT)
LAGUNA = turns(
    "<{{ m.role }}>" + NL + "{% if m.role == 'assistant' %}{% if m.reasoning_content "
    "and enable_thinking | default(false) %}"
    "<think>" + NL + "{{ m.reasoning_content }}" + NL + "</think>{% else %}</think>{% endif %}" + NL + "{% endif %}"
    "{{ m.content }}" + CALLS + NL + "</{{ m.role }}>" + NL,
    "<assistant>" + NL + "{{ '<think>' if enable_thinking | default(false) else '</think>' }}",
)  # fmt: skip
HUNYUAN = turns(
    "{% if m.role == 'assistant' %}<|assistant|><think:opensource>{{ m.reasoning_content or '' }}</think:opensource>"
    "{{ m.content }}"
    + CALLS
    + "{% if not loop.last %}<|eos|>{% endif %}{% else %}<|{{ m.role }}|>{{ m.content }}{% endif %}",
    "<|assistant|><think:opensource></think:opensource>",
)
FORMLESS = turns("{{ m.role }}: {{ m.content }}\n", "assistant: ")

IM_END = ("<|im_end|>", "<|endoftext|>")
FAMILIES: dict[str, Family] = {
    "ChatML": Family(CHATML, IM_END),
    "Llama 3": Family(LLAMA, ("<|eot_id|>", "<|eom_id|>")),
    "Mistral v3": Family(MISTRAL, ("</s>",)),
    "Mistral Tekken": Family(MISTRAL.replace(" {{ m.content }}</s>", "{{ m.content }}</s>"), ("</s>",)),
    "Ministral": Family(MINISTRAL, ("</s>",)),
    "Gemma 3": Family(GEMMA3, ("<end_of_turn>",)),
    "Gemma 4": Family(GEMMA4, ("<turn|>", "<|tool_response>")),
    "Gemma 4 with headers": Family(GEMMA4_HEADED, ("<turn|>", "<|tool_response>")),
    "Phi 3.5": Family(PHI35, ("<|end|>", "<|endoftext|>")),
    "Phi 4": Family(PHI, ("<|end|>",)),
    "Qwen3": Family(QWEN3, IM_END),
    "Qwen3-Coder": Family(QWEN3_CODER, IM_END),
    "Qwen3.5": Family(QWEN35, IM_END),
    "GLM": Family(GLM, ("<|endoftext|>", "<|user|>", "<|observation|>")),
    "gpt-oss": Family(HARMONY, ("<|return|>", "<|call|>")),
    "DeepSeek V3": Family(DEEPSEEK.replace("PROMPT", ""), ("<|eos|>",)),
    "DeepSeek R1": Family(DEEPSEEK.replace("PROMPT", "<think>" + NL), ("<|eos|>",)),
    "Command R": Family(COMMAND_R, ("<|END_OF_TURN_TOKEN|>",)),
    "Command R+": Family(COMMAND_R_PLUS, ("<|END_OF_TURN_TOKEN|>",)),
    "Hermes": Family(HERMES, IM_END),
    "MiniMax": Family(MINIMAX, ("[e~[",)),
    "Kimi": Family(KIMI, ("<|im_end|>",)),
    "Nemotron 3": Family(NEMOTRON, IM_END),
    "LFM2.5": Family(LFM, IM_END),
    "Laguna": Family(LAGUNA, ("</assistant>",)),
    "Hunyuan 3": Family(HUNYUAN, ("<|eos|>",)),
    "formless": Family(FORMLESS, ("</s>",)),
}
