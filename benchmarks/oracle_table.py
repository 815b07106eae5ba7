"""Hold what is trained of published chat templates against independent packages, and print tables of agreement.

    pip install renderers mistral-common openai-harmony               # the extra `oracles`
    python -m benchmarks.oracle_table FOLDER...                       # folders with published templates, *.jinja
    python -m benchmarks.oracle_table --vectors tests/unit/models/oracle_vectors.json

The templates are those of TRL (`trl/chat_templates`), of llama.cpp (`models/templates`) and of axolotl
(`chat_templates/templates`); they are fetched, not kept here. `TIKTOKEN_ENCODINGS_BASE` names the folder of
o200k_base.tiktoken, which openai-harmony reads. The script fails if a disagreement has no reason in `REASONS`.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import oracle_packages, template_oracles
from benchmarks.oracle_packages import MARK, Oracle, Turn
from benchmarks.template_oracles import CASES as BASIC
from benchmarks.template_oracles import OPENED, RESULT, TOOLS, Tokenizer, answer, call, user
from punie_build.models.encoded_text import encode
from punie_build.models.rendered_row import RenderedText, RenderedTurn
from punie_build.models.served_template import ChatTemplate


def called(*paths: str, content: str = "", thought: str = "") -> dict[str, Any]:
    calls = [call(path)["tool_calls"][0] | {"id": f"call1234{number}"} for number, path in enumerate(paths)]
    return answer(content, thought) | {"tool_calls": calls}


CASES = BASIC | {
    "parallel calls": (
        [user("Open a.py, b.py"), called("a.py", "b.py"), RESULT | {"tool_call_id": "call12340"},
         RESULT | {"tool_call_id": "call12341"}, answer("Both set x.")], TOOLS,
    ),
    "words and call": ([user("Open a.py"), called("a.py", content="Let me look."), *OPENED[2:]], TOOLS),
    "thought and call": (
        [user("Open a.py"), called("a.py", thought="It may set x."), RESULT, answer("It sets x.", "So it is.")], TOOLS,
    ),
    "thought, then none": ([user("2+2?"), answer("4", "Add two and two."), user("Sure?"), answer("Yes.")], None),
}  # fmt: skip
SAME, TAIL, OPEN, PROMPT, OTHER = (
    "same", "also trains the end of the prompt", "no end of the last turn", "asks otherwise", "differs",
)  # fmt: skip
COLUMNS = (SAME, TAIL, OPEN, PROMPT, OTHER, "oracle refuses", "template refuses", "both refuse")
RENDERERS = {  # beginning of a template's name -> renderer, model, fields of its config
    "Qwen-Qwen3-0.6B": ("qwen3", "Qwen/Qwen3-0.6B", {}),
    "qwen3.jinja": ("qwen3", "Qwen/Qwen3-8B", {}),
    "qwen3_5_think.jinja": ("qwen3.5", "Qwen/Qwen3.5-4B", {}),
    "qwen3_5_nothink.jinja": ("qwen3.5", "Qwen/Qwen3.5-0.8B", {}),
    "Qwen3.5-4B": ("qwen3.5", "Qwen/Qwen3.5-4B", {}),
    "qwen3_6.jinja": ("qwen3.6", "Qwen/Qwen3.6-35B-A3B", {}),
    "qwen3_8.jinja": ("qwen3.8", "Qwen/Qwen3.8-27B", {}),
    "qwen3_vl.jinja": ("qwen3-vl", "Qwen/Qwen3-VL-4B-Instruct", {}),
    "gemma4_v5.jinja": ("gemma4", "google/gemma-4-E4B-it", {}),
    "google-gemma-4-31B-it.jinja": ("gemma4", "google/gemma-4-31B-it", {}),
    "glm4moe.jinja": ("glm-4.5", "zai-org/GLM-4.5-Air", {}),
    "GLM-4.7-Flash": ("glm-5", "zai-org/GLM-4.7-Flash", {}),
    "MiniMax-M2": ("minimax-m2", "MiniMaxAI/MiniMax-M2", {}),
    "deepseekv3.jinja": ("deepseek-r1", "deepseek-ai/DeepSeek-R1", {}),
    "deepseek-ai-DeepSeek-V4-Flash": ("deepseek-v4", "deepseek-ai/DeepSeek-V4-Flash-0731", {}),
    "Kimi-K2-Instruct": ("kimi-k2", "moonshotai/Kimi-K2-Instruct", {}),
    "moonshotai-Kimi-K2": ("kimi-k2", "moonshotai/Kimi-K2-Instruct", {}),
    "nemotron_3_nano.jinja": ("nemotron-3", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {}),
    "nemotron_3_super.jinja": ("nemotron-3", "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", {}),
    "nemotron_3_ultra.jinja": ("nemotron-3-ultra", "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", {}),
    "nemotron_3_5_lightning.jinja": ("nemotron-3.5", "nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16", {}),
    "meta-llama-Llama-3.2-3B": ("llama-3", "meta-llama/Llama-3.2-3B-Instruct", {}),
    "llama3_2.jinja": ("llama-3", "meta-llama/Llama-3.2-3B-Instruct", {}),
    "poolside-Laguna-XS.2": ("laguna-xs.2", "poolside/Laguna-XS.2", {}),
    "poolside-Laguna-XS-2.1": ("laguna-xs-2.1", "poolside/Laguna-XS-2.1", {}),
    "poolside-Laguna-S-2.1": ("laguna-s-2.1", "poolside/Laguna-S-2.1", {}),
    "tencent-Hy3": ("hy3", "tencent/Hy3", {}),
}
MISTRAL = {  # beginning of a template's name -> version of mistral-common's tokenizer
    "mistral_v1.jinja": "v1",
    "mistral_v2v3.jinja": "v3",
    "mistral_v3_tekken.jinja": "tekken",
    "mistralai-Mistral-Nemo": "tekken",
    "mistral_v7_tekken.jinja": "v7",
}
FAMILIES = {  # family of tests/support/template_families.py -> renderer and model, or version of mistral-common
    "Qwen3": ("qwen3", "Qwen/Qwen3-8B"),
    "Qwen3.5": ("qwen3.5", "Qwen/Qwen3.5-4B"),
    "GLM": ("glm-4.5", "zai-org/GLM-4.5-Air"),
    "Gemma 4": ("gemma4", "google/gemma-4-E4B-it"),
    "Llama 3": ("llama-3", "meta-llama/Llama-3.2-3B-Instruct"),
    "Kimi": ("kimi-k2", "moonshotai/Kimi-K2-Instruct"),
    "MiniMax": ("minimax-m2", "MiniMaxAI/MiniMax-M2"),
    "Nemotron 3": ("nemotron-3", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"),
    "DeepSeek V3": ("deepseek-v3", "deepseek-ai/DeepSeek-V3"),
    "Mistral v3": ("v3", ""),
    "Mistral Tekken": ("tekken", ""),
    "gpt-oss": ("harmony", ""),
}
HARMONY = ("gptoss.jinja", "openai-gpt-oss-120b")
REASONS = (  # pattern of "oracle template [case] verdict", who is right, why
    (r" also trains the end of the prompt$", "punie-build",
     "the header or thought mark is in the prompt, so the base never generates it; the rest of the turn is equal"),
    (r" no end of the last turn$", "punie-build",
     "the template leaves the last turn open; a base that never learns an end does not stop. Earlier turns are equal"),
    (r"^renderers (GLM-4.7|MiniMax|deepseekv3).* differs$", "punie-build",
     "the prompt opens a thought, and the package puts the answer into it: the thought is never closed"),
    (r"^renderers .*\[thought.* differs$", "punie-build",
     "the prompt has closed the thought, so none is generated; the package trains a second one behind it"),
    (r"^(renderers|TRL) [Qq]wen.* differs$", "both",
     ("both texts stand behind the served prompt: the oracle gives each turn an empty thought, the published template "
     "the last turn only, and punie-build trains what the template writes (why.md)")),
    (r"^renderers moonshotai.*call.* differs$", "both", "ids of calls: this version of the template counts them"),
    (r"^openai-harmony .*parallel calls\] differs$", "openai-harmony",
     "the template writes the first call only; punie-build counts the second as dropped, an error of the preflight"),
    (r"^openai-harmony .*words and call\] differs$", "open",
     "the template writes words beside a call as a thought, the package into the channel that it is given"),
    (r"^openai-harmony .* asks otherwise$", "punie-build",
     "the template writes a result as JSON, `\"x = 1\"`, and the server asks so"),
    (r"^renderers (google-gemma|poolside).* asks otherwise$", "punie-build",
     "the package writes thoughts of earlier turns otherwise than the template, which the server asks with"),
    (r"^mistral-common .* asks otherwise$", "open",
     ("the package writes a result as JSON, the published template without quotes: the base may have learned the one, "
     "but the server asks with the other")),
    (r"^TRL (deepseek|qwen3_5_nothink).* differs$", "punie-build",
     "the prompt opens or closes a thought, TRL's text does not; TRL also trains the header, and drops thoughts"),
    (r"^TRL (glm|gptoss|nemotron|diffusion).*thought\] differs$", "punie-build",
     "TRL trains the first turn without its thought, as later context has it; served, it is generated with it"),
    (r"^TRL gptoss.* differs$", "punie-build", "TRL ends earlier turns with `<|end|>`, which does not end generation"),
    (r"^TRL phi3.* differs$", "punie-build",
     "TRL also trains `<|endoftext|>` behind `<|end|>`, which has ended generation already"),
    (r"^TRL diffusion_gemma.*call.* differs$", "open",
     ("punie-build trains `<|tool_response>` as the end of a call, right only if it ends generation on that base, and "
     "the header behind a result, which the template's own prompt lacks")),
)  # fmt: skip


class Result(NamedTuple):
    """The comparison of a conversation, and the first turn that differs, theirs and ours."""

    oracle: str
    template: str
    case: str
    verdict: str
    theirs: str = ""
    ours: str = ""


class Rendered(Tokenizer):
    """A published template with a tokenizer of ids."""

    def __init__(self, template: str, tokenizer: Any, ends: tuple[str, ...]) -> None:
        super().__init__(template, "")
        self.marks, self.eos_token, self.eos_token_ids = ends, ends[0], range(len(ends))
        if tokenizer is not None:
            self._tokenizer, self.eos_token_ids = tokenizer, tokenizer.convert_tokens_to_ids(list(ends))


def compare(folders: list[Path]) -> Iterator[Result]:
    """Yield the result of each oracle, template and conversation."""
    known = {path.name: path for folder in reversed(folders) for path in folder.glob("*.jinja")}  # the first folder's
    for path in sorted(known.values()):
        template, first = path.read_text(), {}
        for name, (kind, model, fields) in RENDERERS.items():
            if path.name.startswith(name):
                marks = sorted({*MARK.findall(template), *MARK.findall(source(kind))})
                tokenizer = oracle_packages.marked_tokenizer(model, marks)
                oracle, ends = oracle_packages.renderer(kind, tokenizer, **fields)
                first = {"renderers": (oracle, ends, tokenizer)}
        for name, version in MISTRAL.items():
            if path.name.startswith(name):
                first = {"mistral-common": (oracle_packages.mistral(version), ("</s>",), None)}
        if path.name.startswith(HARMONY):
            first = {"openai-harmony": (oracle_packages.harmony(), ("<|return|>", "<|call|>"), None)}
        for name, (oracle, ends, tokenizer) in first.items():
            ours = ChatTemplate(Rendered(template, tokenizer, ends))
            for case, (messages, tools) in CASES.items():
                yield Result(name, path.stem, case, *_compare(oracle, ours, tokenizer, messages, tools))


def trl(folder: Path) -> Iterator[Result]:
    """Yield the results of TRL's training templates, which mark the trained text by hand."""
    verdicts = {template_oracles.PROMPT: TAIL, template_oracles.OTHER: OTHER, "TRL refuses": "oracle refuses"}
    for family, case, verdict in template_oracles.compare(folder):
        yield Result("TRL", family, case, verdicts.get(verdict, verdict))


def source(kind: str) -> str:
    """Return the code of a renderer, which names its marks."""
    from renderers import base

    base._populate_registry()
    module = sys.modules[base.RENDERER_REGISTRY[kind].__module__]
    return Path(str(module.__file__)).read_text()


def _compare(oracle: Oracle, template: ChatTemplate, tokenizer: Any, messages: Any, tools: Any) -> tuple[str, ...]:
    turns, row, refused = [], None, []
    try:
        turns = [oracle(messages, tools, n) for n, message in enumerate(messages) if message["role"] == "assistant"]
    except Exception as error:  # oracles are code: they can raise any error
        refused.append(("oracle refuses", f"{type(error).__name__}: {error}"))
    try:
        row = template.render(messages, tools)
    except Exception as error:  # and templates
        refused.append(("template refuses", f"{type(error).__name__}: {error}"))
    if refused or row is None:
        return ("both refuse" if len(refused) > 1 else refused[0][0], refused[0][1].splitlines()[0][:100])
    worst: tuple[str, ...] = (SAME,)
    for theirs, (text, turn) in zip(turns, row.turns(), strict=True):
        verdict, *shown = verdict_of(theirs, text, turn, tokenizer, str(messages[0]["content"]))
        if COLUMNS.index(verdict) > COLUMNS.index(worst[0]):
            worst = (verdict, *shown)
    return worst


def verdict_of(theirs: Turn, text: RenderedText, turn: RenderedTurn, tokenizer: Any, first: str) -> tuple[str, ...]:
    """Return the verdict on a turn; with a tokenizer by token ids, else by text without blanks.

    Texts of prompts are compared from the `first` message on: before it stand the date, and the declarations of tools.
    """
    if tokenizer is not None:
        encoded = encode(tokenizer, text)
        prompt = [number for number, (_, end) in zip(encoded.ids, encoded.offsets, strict=True) if end <= turn.start]
        count = sum(end <= turn.end for _, end in encoded.offsets)
        exact = (prompt, encoded.ids[len(prompt) : count]) == (theirs.prompt, theirs.trained)
        theirs = Turn(*(tokenizer.decode(part, skip_special_tokens=False) for part in theirs))
        if exact:
            return (SAME,)
    asked, trained = _bare(text.prompt(turn)), _bare(text.text[turn.start : turn.end])
    their_prompt, their_turn = _bare(theirs.prompt), _bare(theirs.trained)
    asked, their_prompt = (prompt[max(prompt.find(_bare(first)), 0) :] for prompt in (asked, their_prompt))
    own = text.prompt(turn)[-30:] + "‖" + text.text[turn.start : turn.end]
    shown = theirs.prompt[-30:] + "‖" + theirs.trained, own
    if their_turn == trained:
        return (SAME,) if asked == their_prompt else (PROMPT, *shown)
    if their_turn + _bare(text.text[turn.stop : turn.end]) == trained:
        return (OPEN, *shown)
    tails = (asked[start:] for start in range(max(len(asked) - 60, 0), len(asked)))
    if any(their_turn == tail + trained for tail in tails):
        return (TAIL, *shown)
    return (OTHER, *shown)


def _bare(text: str) -> str:
    return "".join(text.replace("▁", " ").replace("<0x0A>", " ").split())


def vectors(family: str) -> dict[str, list[str]]:
    """Return what the oracle of a family trains of the turns of each conversation that it takes."""
    kind, model = FAMILIES[family]
    tokenizer = oracle_packages.marked_tokenizer(model, sorted({*MARK.findall(source(kind))})) if model else None
    if tokenizer is not None:
        oracle, _ = oracle_packages.renderer(kind, tokenizer)
    else:
        oracle = oracle_packages.harmony() if kind == "harmony" else oracle_packages.mistral(kind)
    found: dict[str, list[str]] = {}
    for case, (messages, tools) in CASES.items():
        try:
            turns = [oracle(messages, tools, n) for n, message in enumerate(messages) if message["role"] == "assistant"]
        except Exception:  # noqa: S112  # an oracle refuses a conversation
            continue
        texts = [tokenizer.decode(turn.trained) if tokenizer is not None else turn.trained for turn in turns]
        found[case] = ["".join(text.replace("▁", " ").split()) for text in texts]
    return found


def main(folders: list[Path]) -> int:
    """Print the tables, and return the number of disagreements without a reason."""
    results = [result for folder in folders for result in trl(folder)] + list(compare(folders))
    table: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    why: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for r in results:
        line = f"{r.oracle} {r.template} [{r.case}] {r.verdict}"
        table[r.oracle, r.template][r.verdict].append(r.case)
        if r.verdict in COLUMNS[1:5]:
            _, who, reason = next((row for row in REASONS if re.search(row[0], line)), ("", "NO REASON", line))
            why[reason, who, r.verdict][r.oracle] += 1
            if who == "NO REASON" or "--why" in sys.argv:
                print(f"{line}\n   T {r.theirs!r}\n   P {r.ours!r}", file=sys.stderr)
    print("| oracle | template | " + " | ".join(COLUMNS) + " |\n|---|---|" + "---|" * len(COLUMNS))
    for (oracle, template), found in table.items():
        cells = (str(len(found[column])) if column == SAME else ", ".join(found[column]) for column in COLUMNS)
        print(f"| {oracle} | {template} | " + " | ".join(cell or "-" for cell in cells) + " |")
    print("\n| disagreement | cases | right | why |\n|---|---|---|---|")
    for (reason, who, verdict), counts in why.items():
        cases = ", ".join(f"{oracle} {count}" for oracle, count in counts.items())
        print(f"| {verdict} | {cases} | {who} | {reason.replace('|', chr(92) + '|')} |")
    for oracle in dict.fromkeys(r.oracle for r in results):
        counts = Counter(r.verdict for r in results if r.oracle == oracle)
        total = sum(counts[column] for column in COLUMNS[:5])
        print(f"\n{oracle}: {total} comparable, {counts[SAME]} the same; "
              + ", ".join(f"{counts[column]} {column}" for column in COLUMNS[1:] if counts[column]))  # fmt: skip
    return sum(sum(counts.values()) for (_, who, _), counts in why.items() if who == "NO REASON")


if __name__ == "__main__":
    if sys.argv[1] == "--vectors":
        Path(sys.argv[2]).write_text(json.dumps({name: vectors(name) for name in FAMILIES}, indent=1) + "\n")
        sys.exit()
    sys.exit(main([Path(name) for name in sys.argv[1:] if not name.startswith("--")]))
