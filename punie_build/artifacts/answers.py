"""The kinds of answers to a suite: of weights that are here, of an endpoint, and of a file that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from punie_build.artifacts.arms import RECORDED, model_of, suite_of, trained_arguments, variant_of, weights_of
from punie_build.engine.kind import NOT_IN_KEY, ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.evaluation.arm_spec import Endpoint, RecordedAnswers
from punie_build.evaluation.spec import GENERATION_FIELDS, Eval, GenerationSpec, Sampling, generation_spec
from punie_build.models.environment import mlx_environment
from punie_build.schema.spec import digest

if TYPE_CHECKING:
    from punie_build.evaluation.suite import Suite

ADAPTER_FILES = ("adapters.safetensors", "adapter_config.json")  # the files of an adapter that decide its answers
RUN_FIELDS = ("concurrency", "timeout")  # how a suite is asked, without effect on an answer
ENDPOINT = "@endpoint"  # its name among the values that a step uses; no suite has an @


class AnswersDetails(Struct, frozen=True, omit_defaults=True):
    """`asked` changes when a question of the suite does; `timed`: the suite checks latencies, so they are in the
    answers. `chat_template_args` are those of the adapter, for an eval without its own, or those of a variant;
    `sampling` and `system` are those of a variant. `remote`: the endpoint."""

    asked: str
    timed: bool = False
    chat_template_args: dict[str, Any] = {}
    sampling: Sampling | None = None
    system: str | None = None
    remote: str = ""


class RecordedDetails(Struct, frozen=True):
    """The digest of the questions of a suite, and the file that has the answers."""

    asked: str
    file: RecordedAnswers


def questions_digest(suite: Suite) -> str:
    """Return a digest that changes when anything that a suite asks does, not when it scores in another way."""
    return digest([[case.id, suite.model_input(case)] for case in suite.cases])


def eval_of_generation(spec: GenerationSpec) -> Eval:
    """Return the eval of the arm of a comparison that asks as this says."""
    return Eval(arm=spec.arm, **{name: getattr(spec, name) for name in GENERATION_FIELDS})


def answers_of(recipe: Recipe, entry: Entry[Eval]) -> Entry[GenerationSpec]:
    """Return the answers that an eval scores; evals that ask the same share them."""
    spec, model = generation_spec(entry.spec), model_of(recipe, entry.spec.arm).spec
    kind = next((kind for type_, kind in WITHOUT_WEIGHTS.items() if isinstance(model, type_)), ANSWERS)
    return Entry(kind, spec.name, spec, entry.file, table=entry.origin)


def _answers_inputs(recipe: Recipe, entry: Entry[GenerationSpec]) -> TaskInputs:
    spec = entry.spec
    adapter, _, base, first = weights_of(recipe, spec.arm)
    draft = {"draft": recipe.resolve("base", spec.serving.draft).spec} if spec.serving.draft else {}
    suite = suite_of(recipe, spec.suite, spec.arm)
    return TaskInputs(
        doc=f"{spec.arm} answers the suite {spec.suite}",
        needs=(*adapter, *first),
        inputs=tuple(need.target for need in (*adapter, *first)),
        reads=ADAPTER_FILES if adapter else (),
        external={"base": base, **draft},
        details=_settings(recipe, spec, suite),
        uses={spec.suite: suite},
    )


def _settings(recipe: Recipe, spec: GenerationSpec, suite: Suite) -> AnswersDetails:
    """Return how an arm is asked: as its variant states, else as the eval does, else as in its training."""
    from punie_build.evaluation.suite import measures_latency

    variant = variant_of(recipe, spec.arm)
    trained = {} if spec.serving.chat_template_args else trained_arguments(recipe, spec.arm)
    return AnswersDetails(
        asked=questions_digest(suite),
        timed=measures_latency(suite),
        chat_template_args=(variant.chat_template_args if variant else {}) or trained,
        sampling=variant.sampling.effective() if variant and variant.sampling else None,
        system=variant.system if variant else None,
    )


def _endpoint_inputs(recipe: Recipe, entry: Entry[GenerationSpec]) -> TaskInputs:
    spec = entry.spec
    suite, endpoint = suite_of(recipe, spec.suite, spec.arm), model_of(recipe, spec.arm).spec
    settings = _settings(recipe, spec, suite)
    return TaskInputs(
        doc=f"{spec.arm}, whose identity is not proven, answers the suite {spec.suite}",
        details=structs.replace(settings, remote=f"{endpoint.model} at {endpoint.base_url}"),
        uses={spec.suite: suite, ENDPOINT: endpoint},
    )


def _recorded_inputs(recipe: Recipe, entry: Entry[GenerationSpec]) -> TaskInputs:
    spec = entry.spec
    file, suite = model_of(recipe, spec.arm).spec, suite_of(recipe, spec.suite)
    return TaskInputs(
        doc=f"the answers of {file.path} to the suite {spec.suite}",
        needs=(builder,) if (builder := recipe.builder_of(file.path)) else (),
        inputs=(file.path,),
        details=RecordedDetails(asked=questions_digest(suite), file=file),
        uses={spec.suite: suite},
    )


ANSWERS = ArtifactKind(
    name=RECORDED.name,
    plural=RECORDED.plural,
    spec=RecordedAnswers,
    roles=("arm",),
    variants={"path": RECORDED},
    references={"arm": "arm", "suite": "suite", "serving.draft": "base"},
    folder="reports",
    suffix="@answers",
    inputs=_answers_inputs,
    step="punie_build.evaluation.steps:answers",
    shards="punie_build.evaluation.answer_shards:SHARDS",
    preview="punie_build.preflight.preview:preview_answers",
    version=1,
    environment=mlx_environment,
    not_in_key=(*NOT_IN_KEY, *RUN_FIELDS),
    nameless=True,
    rename="punie_build.evaluation.answer_files:rename",
    outputs={
        "answers.jsonl": "punie_build.evaluation.checks.response:Answer",
        "proof.json": "punie_build.evaluation.answer_files:Proof",
    },
    verify="punie_build.evaluation.verify:answers",
    page="punie_build.reports.pages.answers:ANSWERS_PAGE",
    summary=((RECORDED.name, "{:.0f} answers"),),
)
ENDPOINT_ANSWERS = structs.replace(
    ANSWERS, inputs=_endpoint_inputs, step="punie_build.evaluation.endpoint:answers", shards="", environment=None
)
RECORDED_ANSWERS = structs.replace(
    ANSWERS,
    inputs=_recorded_inputs,
    step="punie_build.evaluation.recorded_answers:answers",
    shards="",
    version=None,
    environment=None,
    in_worker=True,
)
WITHOUT_WEIGHTS: dict[type[Any], ArtifactKind] = {Endpoint: ENDPOINT_ANSWERS, RecordedAnswers: RECORDED_ANSWERS}
