from __future__ import annotations

from pathlib import Path

import pytest

from punie_build.artifacts.registry import KINDS
from punie_build.engine.task import graph
from punie_build.errors import RecipeError
from punie_build.project import Project
from punie_build.recipes.loader import load
from punie_build.storage import locks


def mistakes(recipes, text: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as caught:
        Project.load(recipes(text))
    return caught.value.problems


def test_all_mistakes_of_all_files_are_told_at_once(recipes):
    root = recipes("[dataset.a]\nsource = { type = 'sampel', max_examples = 3 }\ncolr = 1\n[adaptor.x]\nbase = 'nano'")
    (root / "recipes" / "other.toml").write_text(
        "[adapter.v]\nbase = 'nano'\nlearning_rate = 'fast'\nlora = { rnak = 4, scale = -1 }"
    )
    with pytest.raises(RecipeError) as caught:
        Project.load(root)
    text = str(caught.value)
    for expected in (
        "recipes/test.toml: dataset.a.source.type: unknown source 'sampel' - did you mean 'sample'?",
        "recipes/test.toml: dataset.a.colr: unknown key",
        "recipes/test.toml: adaptor: unknown kind of artifact - did you mean 'adapter'?",
        "recipes/other.toml: adapter.v.data: missing",
        "recipes/other.toml: adapter.v.learning_rate: expected 'float', got 'str'",
        "recipes/other.toml: adapter.v.lora.rnak: unknown key - did you mean 'rank'?",
        "recipes/other.toml: adapter.v.lora.scale: expected 'float' > 0.0",
    ):
        assert expected in text
    assert len(caught.value.problems) == 7


def test_a_wrong_filter_is_named_by_its_place(recipes):
    problems = mistakes(
        recipes,
        (
            "[dataset.a]\nsource = { type = 'sample' }\n[stage.s]\nfrom = 'a'\n"
            "filters = [{ type = 'min-messages' }, { type = 'langauge' }]"
        ),
    )
    assert problems == (
        "recipes/test.toml: stage.s.filters[1].type: unknown filter 'langauge' - did you mean 'language'?",
    )


@pytest.mark.parametrize("name", ["../x", "/etc/x", "", "a/b", ".hidden", "a..b", "x" * 65, "sp ace", "nul\\u0000"])
def test_names_that_would_leave_the_project_are_refused(recipes, name: str):
    problems = mistakes(recipes, f'[dataset."{name}"]\nsource = {{ type = "sample" }}')
    assert "not a name" in problems[0]


@pytest.mark.parametrize("name", ["a.lock.json", "a.splits.lock", "A.Lock.JSON"])
def test_names_that_are_the_lock_of_another_artifact_are_refused(recipes, name: str):
    [problem] = mistakes(recipes, f'[dataset."{name}"]\nsource = {{ type = "sample" }}')
    assert "the name of another artifact's lock" in problem


@pytest.mark.parametrize("path", ["../data", "/etc/passwd", "", "a/../../b", "~/x", "C:\\\\x", "."])
def test_paths_that_would_leave_the_project_are_refused(recipes, path: str):
    for text in (
        f'[dataset.d]\nsource = {{ type = "local", path = "{path}" }}',
        f'[base.b]\npath = "{path}"',
        f'[suite.s]\nfile = "{path}"',
    ):
        assert "leaves the project" in (problem := mistakes(recipes, text)[0]) or "empty path" in problem


def test_dangling_names_say_what_is_near(recipes):
    problems = mistakes(
        recipes,
        (
            "[dataset.sample]\nsource = { type = 'sample' }\n[stage.s]\nfrom = 'sampel'\n"
            "filters = [{ type = 'min-messages' }]\n[adapter.a]\nbase = 'nanoo'\ndata = 's'"
        ),
    )
    assert "stage.s.from: no dataset or stage or mix is called 'sampel' - did you mean 'sample'?" in problems[0]
    assert "adapter.a.base: no base or model is called 'nanoo' - did you mean 'nano'?" in problems[1]


def test_a_mistake_in_one_table_hides_none_in_others_and_invents_none(recipes):
    text = (
        "[dataset.d]\nsource = { type = 'sampel' }\n[stage.s]\nfrom = 'd'\n"
        "filters = []\n[adapter.a]\nbase = 'nano'\ndata = 'ss'\nrank = 3\n"
    )
    problems = mistakes(recipes, text)
    assert len(problems) == 4
    assert "unknown source 'sampel'" in problems[0]
    assert "stage.s: a stage without" in problems[1]
    assert "adapter.a.rank: unknown key" in problems[2]
    assert "adapter.a.data: no dataset or stage or mix is called 'ss'" in problems[3]


def test_a_circle_is_shown(recipes):
    problems = mistakes(recipes, "[stage.a]\nfrom = 'b'\nfilters = [{ type = 'min-messages' }]\n[mix.b]\nfrom = ['a']")
    assert any("a -> b -> a" in problem or "b -> a -> b" in problem for problem in problems)


def test_two_artifacts_of_one_folder_may_not_share_a_name(recipes):
    problems = mistakes(
        recipes,
        (
            "[dataset.a]\nsource = { type = 'sample' }\n[stage.A]\nfrom = 'a'\n"
            "filters = [{ type = 'min-messages' }]\n[base.nano]\npath = 'm'"
        ),
    )
    assert any("the name is taken by dataset.a" in problem for problem in problems)
    assert any("the name is taken by base.nano (built in)" in problem for problem in problems)


def test_what_is_not_toml_is_named(recipes):
    assert "recipes/test.toml: not TOML" in mistakes(recipes, "[dataset.a\n")[0]


def test_hidden_files_and_copies_of_editors_are_no_recipes_and_no_locks(recipes):
    root = recipes("[dataset.a]\nsource = { type = 'sample', max_examples = 3 }")
    (root / "recipes/.#test.toml").symlink_to("user@host.1234")  # Emacs, while the file is edited
    for name in ("._test.toml", ".test.toml.swp", ".hidden.toml", "test.toml~", "#test.toml#", "test.toml.bak"):
        (root / "recipes" / name).write_bytes(b"\x00\x05\x16\x07 no TOML")
    (root / "data").mkdir()
    (root / "data/._a.lock.json").write_bytes(b"\x00\x05\x16\x07")
    assert [name for _, name in Project.load(root).recipe.entries if name == "a"] == ["a"]
    assert list(locks.present(root, {kind.folder for kind in KINDS.values()})) == []


def test_a_link_to_nowhere_and_a_folder_are_named_as_recipes_that_cannot_be_read(recipes):
    root = recipes("[dataset.a]\nsource = { type = 'sample', max_examples = 3 }")
    (root / "recipes/b.toml").symlink_to("nowhere")
    (root / "recipes/x.toml").mkdir()
    with pytest.raises(RecipeError) as caught:
        Project.load(root)
    assert [problem.partition(" (")[0] for problem in caught.value.problems] == [
        "recipes/b.toml: cannot be read",
        "recipes/x.toml: cannot be read",
    ]


def test_a_hub_base_needs_a_commit(recipes):
    assert "needs `revision`" in mistakes(recipes, "[base.q]\nhub = 'mlx-community/q'")[0].replace("'", "`")
    assert "revision" in mistakes(recipes, "[base.q]\nhub = 'mlx-community/q'\nrevision = 'main'")[0]
    good = Project.load(
        recipes(f"[base.q]\nhub = 'mlx-community/Qwen2.5-Coder-1.5B-Instruct-4bit'\nrevision = '{'a' * 40}'")
    )
    assert good.recipe.entries["base", "q"].spec.hub


def test_a_project_without_recipes_is_told_so(tmp_path: Path):
    with pytest.raises(RecipeError, match="no recipes"):
        Project.load(tmp_path)


def test_suite_mistakes_are_told_with_the_recipe_ones(recipes):
    root = recipes("[suite.s]\nfile = 'suite.toml'\n[suite.gone]\nfile = 'none.toml'")
    (root / "suite.toml").write_text(
        "[[case]]\nid = 'a'\ncategory = 'c'\nprompt = 'p'\nchecks = [{ type = 'cals' }]\n"
        "[[case]]\nid = 'b'\ncategory = 'c'\nchecks = [{ type = 'no-call' }]\nmax_token = 3\n"
    )
    with pytest.raises(RecipeError) as caught:
        Project.load(root)
    text = str(caught.value)
    assert "suite.toml: case[a].checks[0].type: unknown check 'cals' - did you mean 'calls'?" in text
    assert "suite.toml: case[b].max_token: unknown key" in text
    assert "suite.gone.file: no file 'none.toml'" in text


def test_ids_are_unique_and_expected_tools_declared(recipes):
    root = recipes("[suite.s]\nfile = 'suite.toml'")
    case = (
        "[[case]]\nid = 'a'\ncategory = 'c'\nprompt = 'p'\nchecks = [{ type = 'calls', calls = [{ name = 'fly' }] }]\n"
    )
    (root / "suite.toml").write_text("tools = 'editor'\n" + case + case)
    with pytest.raises(RecipeError) as caught:
        Project.load(root)
    assert "occurs twice" in str(caught.value)
    assert "expects the tool 'fly'" in str(caught.value)


def test_a_comparison_makes_its_evals_and_uses_those_that_ask_the_same(recipes):
    text = (
        "[dataset.d]\nsource = { type = 'sample' }\n[adapter.v]\nbase = 'nano'\n"
        "data = 'd'\n[comparison.c]\narms = ['nano', 'v']\nsuite = 'tool-calling'\n"
    )
    labels = [task.label for task in Project.load(recipes(text)).tasks]
    both = [f"{kind}:{arm}@tool-calling" for arm in ("nano", "v") for kind in ("answers", "eval")]
    assert labels == [
        "dataset:d",
        "tokens:d@nano-assistant-2048",
        "preflight:d@nano",
        "adapter:v",
        *both,
        "comparison:c",
    ]
    labels = [
        task.label for task in Project.load(recipes(text + "[eval.mine]\narm = 'v'\nsuite = 'tool-calling'\n")).tasks
    ]
    assert "eval:mine" in labels
    assert "eval:v@tool-calling" not in labels


def test_key_order_comments_and_descriptions_change_no_task(recipes):
    one = Project.load(recipes("[dataset.d]\nsource = { type = 'sample', max_examples = 9, seed = 1 }")).tasks
    other = "# hello\n[dataset.d]\ndescription = 'x'\nsource = { seed = 1, type = 'sample', max_examples = 9 } # why"
    two = Project.load(recipes(other)).tasks
    assert one[0].recipe == two[0].recipe


def test_the_projects_own_recipes_are_right():
    project = Project.load(Path(__file__).parents[3])
    assert {task.label for task in project.tasks} >= {"comparison:quickstart", "adapter:quickstart", "mix:quickstart"}


def test_every_kind_says_what_it_is():
    assert all(kind.spec.__doc__ for kind in KINDS.values() if kind.spec)


def test_two_comparisons_may_ask_one_arm_in_two_ways(recipes):
    text = (
        "[comparison.a]\narms = ['nano', 'x']\nsuite = 'tool-calling'\nconcurrency = 1\n[comparison.b]\n"
        "arms = ['nano', 'x']\nsuite = 'tool-calling'\nmax_tokens = 9\n[base.x]\npath = 'x'\n"
    )
    usual = {f"{kind}:{arm}@tool-calling" for kind in ("answers", "eval") for arm in ("nano", "x")}
    odd = {f"{label}@max_tokens-9" for label in usual}
    assert {task.label for task in Project.load(recipes(text)).tasks} == usual | odd | {"comparison:a", "comparison:b"}
    own = "".join(f"[eval.{arm}9]\narm = '{arm}'\nsuite = 'tool-calling'\nmax_tokens = 9\n" for arm in ("nano", "x"))
    labels = {task.label for task in Project.load(recipes(text + own)).tasks}
    assert {"eval:nano9", "eval:x9"} <= labels
    assert not {label for label in odd if label.startswith("eval")} & labels


def test_cells_that_ask_the_same_share_their_answers(recipes):
    cells = [(0.0, 1.0, 0), (0.0, 0.5, 0), (0.0, 0.5, 7), (0.5, 1.0, 0), (0.5, 0.5, 0)]
    text = "".join(
        (
            f"[eval.c{index}]\narm = 'nano'\nsuite = 'tool-calling'\n"
            f"sampling = {{ temperature = {t}, top_p = {p}, top_k = {k} }}\n"
        )
        for index, (t, p, k) in enumerate(cells)
    )
    found = [task for task in Project.load(recipes(text)).tasks if task.kind.name == "answers"]
    assert [task.name for task in found] == [
        "nano@tool-calling",
        "nano@tool-calling@temperature-0.5",
        "nano@tool-calling@temperature-0.5,top_p-0.5",
    ]


def test_what_no_server_could_answer_is_said_before_anything_runs(recipes):
    def told(line):
        return mistakes(recipes, f"[eval.e]\narm = 'nano'\nsuite = 'tool-calling'\n{line}\n")

    assert "all epochs of greedy answers are equal" in told("epochs = 3")[0]
    assert 'use engine = "batch"' in told("serving = { max_kv_size = 64 }")[0]
    assert 'use engine = "server"' in told("engine = 'batch'\nserving = { kv_bits = 4 }")[0]
    assert "no base is called 'nanno' - did you mean 'nano'?" in told("serving = { draft = 'nanno' }")[0]


def test_a_source_that_reads_a_target_is_an_edge_of_the_graph(recipes):
    text = """
[dataset.aaa]
source = { type = "command", argv = ["cat", "x"], reads = ["data/zzz/train.jsonl", "reports/e"] }
[dataset.bbb]
source = { type = "answers", eval = "e" }
[dataset.zzz]
source = { type = "sample" }
[eval.e]
arm = "nano"
suite = "tool-calling"
"""
    root = recipes(text)
    tasks = {task.label: list(task.needs) for task in graph(load(root, KINDS))}
    assert tasks["dataset:aaa"] == ["dataset:zzz", "eval:e"]
    assert tasks["dataset:bbb"] == ["eval:e"]
    assert list(tasks).index("dataset:zzz") < list(tasks).index("dataset:aaa")
    circle = text + '[dataset.own]\nsource = { type = "local", path = "data/own/train.jsonl" }\n'
    assert "built from itself: own" in mistakes(recipes, circle)[0]
    assert "no eval is called" in mistakes(recipes, text.replace('eval = "e"', 'eval = "f"'))[0]


READER = """
[dataset.reader]
source = {{ type = "{type}", {key} }}
[dataset.zzz]
source = {{ type = "sample", max_examples = 20 }}
temporary = true
[adapter.v]
base = "nano"
data = "zzz"
"""


@pytest.mark.parametrize(
    "path", ["data/zzz", "data/zzz/train.jsonl", "./data/zzz/train.jsonl", "data//zzz/", "data/zzz/deep/file.txt"]
)
@pytest.mark.parametrize(("type_", "key"), [("command", 'argv = ["sh"], reads = ["{}"]'), ("local", 'path = "{}"')])
def test_a_source_in_a_target_needs_it_and_keeps_its_files(recipes, path, type_, key):
    root = recipes(READER.format(type=type_, key=key.format(path)))
    tasks = {task.label: task for task in graph(load(root, KINDS))}
    assert tasks["dataset:reader"].needs == {"dataset:zzz": "data/zzz"}
    assert tasks["dataset:reader"].temporary_inputs == ("data/zzz",)
    assert list(tasks).index("dataset:zzz") < list(tasks).index("dataset:reader")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("data", "holds what is built from recipes (data/reader, data/zzz) - name the one that is read"),
        ("./adapters/", "holds what is built from recipes (adapters/v) - name"),
        ("data/reader/train.jsonl", "built from itself: reader -> reader"),
        ("data/zzz@nano-assistant-2048", "is made for a training - read data/zzz"),
        ("data/zzz.lock.json", "is the lock of data/zzz, written after its build - read data/zzz"),
    ],
)
def test_a_source_that_reads_no_single_dataset_is_refused(recipes, path, problem):
    [told] = mistakes(recipes, READER.format(type="command", key=f'argv = ["sh"], reads = ["{path}"]'))
    assert problem in told


PREFERENCE = """
[dataset.pairs]
source = { type = "sample", max_examples = 20 }
form = "preference"
[dataset.chat]
source = { type = "sample", max_examples = 20 }
[stage.clean]
from = "pairs"
filters = [{ type = "min-messages" }]
[stage.turned]
from = "pairs"
maps = [{ type = "python", function = "mine:turn" }]
[mix.all]
from = ["chat", "clean"]
[adapter.v]
base = "nano"
data = "DATA"
"""


@pytest.mark.parametrize(("data", "refused"), [("pairs", 1), ("clean", 1), ("all", 1), ("chat", 0), ("turned", 0)])
def test_an_adapter_on_preference_data_is_a_mistake_of_its_recipe(recipes, data, refused):
    root = recipes(PREFERENCE.replace("DATA", data))
    if refused:
        with pytest.raises(RecipeError, match=r"test.toml: adapter.v.data: dataset:pairs is preference data"):
            Project.load(root)
    else:
        Project.load(root)


@pytest.mark.parametrize("loss", ["dpo", "orpo"])
@pytest.mark.parametrize(("data", "refused"), [("pairs", 0), ("clean", 0), ("all", 1), ("chat", 1), ("turned", 0)])
def test_a_loss_that_compares_answers_needs_pairs(recipes, loss, data, refused):
    text = PREFERENCE.replace("DATA", data) + f'loss = "{loss}"\n'
    if refused:
        [told] = mistakes(recipes, text)
        assert f'adapter.v.loss: "{loss}" compares the answers of pairs, and dataset:chat has one answer' in told
    else:
        assert Project.load(recipes(text)).task("adapter:v").spec.compares


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('batching = "prefix"', 'batching "prefix" has one of each'),
        ('batching = "pack"', 'batching "pack" has one of each'),
        ('mask = "all"', 'mask "all" trains prompts too'),
        ("beta = 0.0", "beta"),
    ],
)
def test_a_field_that_a_loss_of_pairs_cannot_have_is_a_mistake(recipes, line, reason):
    [told] = mistakes(recipes, PREFERENCE.replace("DATA", "pairs") + f'loss = "dpo"\n{line}\n')
    assert reason in told


def test_the_cells_of_a_grid_share_the_log_probabilities_of_their_reference(recipes):
    text = (
        PREFERENCE.replace("DATA", "pairs") + 'loss = "dpo"\nlearning_rate = [1e-5, 1e-4]\nlora = { rank = [4, 8] }\n'
    )
    project = Project.load(recipes(text))
    cells = [task for task in project.tasks if task.kind.name == "adapter"]
    assert [task.label for task in project.tasks if task.kind.name == "reference"] == [
        "reference:pairs@nano-assistant-2048-pairs"
    ]
    assert len(cells) == 4
    assert {cell.needed("reference") for cell in cells} == {"data/pairs@nano-assistant-2048-pairs@reference"}
    assert all(cell.needed("reference") in cell.inputs for cell in cells)
    [told] = mistakes(recipes, text + "beta = [0.1, 0.5]\n")
    assert "losses of different formulas cannot be ranked" in told


def test_dropout_in_recomputed_layers_enters_the_key(recipes):
    """Such adapters were trained with two masks once; the keys of all others stay."""
    lines = {"none": "", "layers": "grad_checkpoint = true", "dropout": "lora = { dropout = 0.1 }"}
    lines["both"] = f"{lines['layers']}\n{lines['dropout']}"
    text = '[dataset.d]\nsource = { type = "sample" }\n' + "".join(
        f'[adapter.{name}]\nbase = "nano"\ndata = "d"\n{line}\n' for name, line in lines.items()
    )
    tasks = [task for task in Project.load(recipes(text)).tasks if task.kind.name == "adapter"]
    assert [task.name for task in tasks if "dropout_masks" in task.recipe] == ["both"]


ORDERED = """
[dataset.d]
source = { type = "sample" }
[mix.m]
from = ["d"]
order = { by = "length" }
[stage.s]
from = "m"
filters = [{ type = "min-messages" }]
[mix.shuffled]
from = ["s"]
[adapter.a]
base = "nano"
data = "DATA"
batching = "BATCHING"
"""


@pytest.mark.parametrize("data", ["m", "s", "shuffled", "d"])
def test_an_adapter_keeps_the_order_of_a_mix_and_of_its_stages(recipes, data):
    def adapter(batching):
        text = ORDERED.replace("DATA", data).replace("BATCHING", batching)
        return {task.label: task for task in Project.load(recipes(text)).tasks}["adapter:a"]

    ordered = data in ("m", "s")
    assert adapter("bucket").recipe["batching"] == ("file" if ordered else "bucket")
    assert (adapter("bucket").recipe == adapter("file").recipe) == ordered
    if not ordered:
        assert adapter("pack").recipe["batching"] == "pack"


def test_a_mix_knows_the_parts_whose_order_it_loses(recipes):
    text = ORDERED.replace("DATA", "d").replace("BATCHING", "bucket") + '[mix.again]\nfrom = ["m", "d"]\n'
    kept = text.replace('from = ["m", "d"]', 'from = ["m", "d"]\norder = { by = "parts" }')
    details = {task.label: task.details for task in Project.load(recipes(text)).tasks}
    assert (details["mix:shuffled"].ordered, details["mix:again"].ordered) == (("s",), ("m",))
    assert details["mix:m"] is None
    assert {task.label: task.details for task in Project.load(recipes(kept)).tasks}["mix:again"] is None


@pytest.mark.parametrize("batching", ["tokens", "pack"])
def test_batching_by_length_of_rows_with_an_order_is_a_mistake(recipes, batching):
    [mistake] = mistakes(recipes, ORDERED.replace("DATA", "s").replace("BATCHING", batching))
    assert f'adapter.a.batching: "{batching}" puts rows of similar length together' in mistake
    assert 'use "file"' in mistake


def test_the_prompts_of_a_suite_are_no_leak_where_it_is_asked_for_practice_only(recipes):
    text = """
[dataset.d]
source = { type = "sample" }
[adapter.a]
base = "nano"
data = "d"
[eval.e]
arm = "a"
suite = "tool-calling"
"""
    practice = text + '[dataset.right]\nsource = { type = "answers", eval = "e" }\n'
    measured = practice + '[comparison.c]\narms = ["nano", "a"]\nsuite = "tool-calling"\n'

    def suite(recipe):
        task = {task.label: task for task in Project.load(recipes(recipe)).tasks}["preflight:d@nano"]
        return task.uses["tool-calling"], task.recipe

    assert suite(practice)[0].prompts() == ()
    assert suite(practice)[0].system == suite(text)[0].system
    assert suite(text) == suite(measured)
    assert suite(text)[0].prompts()


def test_answers_of_an_adapter_are_asked_with_its_template_arguments(recipes):
    root = recipes(
        "[dataset.d]\nsource = { type = 'sample' }\n[adapter.a]\nbase = 'nano'\ndata = 'd'\n"
        "chat_template_args = { enable_thinking = false }\n[suite.s]\nembedded = 'tool-calling'\n"
        "[model.m]\nadapter = 'a'\nbits = 8\n[comparison.c]\narms = ['nano', 'a', 'm']\nsuite = 's'\n"
        "[eval.own]\narm = 'a'\nsuite = 's'\nserving = { chat_template_args = { enable_thinking = true } }\n"
    )
    tasks = {task.label: task for task in graph(Project.load(root).recipe)}
    asked = {label: task.details.chat_template_args for label, task in tasks.items() if label.startswith("answers:")}
    assert asked["answers:nano@s"] == {}
    assert asked["answers:a@s"] == asked["answers:m@s"] == {"enable_thinking": False}
    assert [arguments for label, arguments in asked.items() if label.startswith("answers:a@s@")] == [{}]
    assert tasks["eval:own"].details.chat_template_args == {"enable_thinking": False}
    assert "preflight:d@nano-enable_thinking-false" in tasks
    assert "tokens:d@nano-assistant-2048-enable_thinking-false" in tasks


METRIC_RECIPE = """
[dataset.d]
source = {{ type = "sample" }}
[adapter.a]
base = "nano"
data = "d"
gates = [{{ metric = "{adapter}", max = 1 }}]
[eval.e]
arm = "a"
suite = "tool-calling"
gates = [{{ metric = "{eval}", min = 0 }}]
[comparison.c]
arms = ["nano", "a"]
suite = "tool-calling"
gates = [{{ metric = "{comparison}", min = 0 }}]
"""


def test_a_gate_with_a_misspelt_metric_is_a_mistake_of_the_recipe(tmp_path):
    (tmp_path / "recipes").mkdir()
    file = tmp_path / "recipes" / "m.toml"
    file.write_text(METRIC_RECIPE.format(adapter="valid_los", eval="category.words.shrae", comparison="a.lo"))
    with pytest.raises(RecipeError) as error:
        Project.load(tmp_path)
    assert str(error.value).splitlines() == [
        "recipes/m.toml: adapter.a.gates: adapters have no metric 'valid_los' - did you mean 'valid_loss'?",
        (
            "recipes/m.toml: eval.e.gates: evals have no metric 'category.words.shrae' - "
            "did you mean 'category.words.share'?"
        ),
        "recipes/m.toml: comparison.c.gates: comparisons have no metric 'a.lo' - did you mean 'a.low'?",
    ]
    file.write_text(
        METRIC_RECIPE.format(adapter="train_loss", eval="category.words.share", comparison="a.category.x.low")
    )
    assert Project.load(tmp_path)


def test_gates_may_name_every_metric_of_the_locks_of_this_repository():
    root = Path(__file__).parents[3]
    kinds = set()
    for path in locks.present(root, ["adapters", "reports"]):
        lock = locks.read(path)
        assert lock
        if known := KINDS[lock.key_inputs.kind].metrics:
            kinds.add(lock.key_inputs.kind)
            assert {name.rpartition(".")[2] for name in lock.metrics} <= known
    assert kinds == {"adapter", "eval", "comparison"}
