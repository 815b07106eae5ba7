"""Optional recipes, in folders of `recipes/`: built by name only, and asked for by nothing until they are built."""

from __future__ import annotations

from pathlib import Path

import pytest

from punie_build.doit_plugin.command_line import may_name
from punie_build.errors import RecipeError
from punie_build.project import Project
from tests.support.doit_runner import doit, ran
from tests.support.project import create

MAIN = '[dataset.few]\nsource = { type = "sample", max_examples = 8 }\n'
LONG = '[stage.long]\nfrom = "few"\nfilters = [{ type = "min-messages", messages = 2 }]\n'
HAND = '[stage.short]\nfrom = "hand-authored"\nfilters = [{ type = "max-messages", messages = 4 }]\n'


@pytest.fixture
def project(tmp_path) -> Path:
    return create(tmp_path, MAIN, {"recipes/extra/long.toml": LONG, "recipes/extra/hand.toml": HAND})


def labels(tasks) -> set[str]:
    return {task.label for task in tasks}


def test_groups_are_the_folders_and_files_of_optional_recipes(project):
    loaded = Project.load(project)
    assert loaded.groups == {
        "extra": ["stage:short", "stage:long"],
        "extra:hand": ["stage:short"],
        "extra:long": ["stage:long"],
    }
    assert labels(loaded.default_tasks) == {"dataset:few"}
    assert labels(loaded.select(["extra:hand"])) == {"dataset:hand-authored", "stage:short"}
    assert labels(loaded.select(["extra"])) == labels(loaded.tasks)
    assert labels(item.task for item in loaded.plan()) == {"dataset:few"}


def test_what_a_default_recipe_needs_of_an_optional_one_is_built_with_it(project):
    (project / "recipes/more.toml").write_text('[mix.all]\nfrom = ["long"]\n')
    assert labels(Project.load(project).default_tasks) == {"dataset:few", "stage:long", "mix:all"}


@pytest.mark.slow
def test_optional_artifacts_are_built_by_name_only_and_checked_once_they_are_built(project):
    assert ran(doit(project)) == {"dataset:few"}
    assert labels(Project.load(project).check(["recipes"])) == {"dataset:few"}
    assert ran(doit(project, "extra:long")) == {"stage:long"}
    loaded = Project.load(project)
    assert labels(loaded.check(["recipes"])) == {"dataset:few", "stage:long"}
    assert {check.state for check in loaded.check(["recipes"])} == {"current"}
    index = (project / "reports/index.html").read_text()
    assert "stage-long.html" in index
    assert "short" not in index
    (project / "recipes/extra/long.toml").write_text(LONG.replace("messages = 2", "messages = 3"))
    assert {item.label: item.state for item in Project.load(project).check(["recipes"])}["stage:long"] == "stale"
    assert ran(doit(project)) == set()
    assert ran(doit(project, "-a")) == {"dataset:few"}
    assert ran(doit(project, "extra")) == {"dataset:hand-authored", "stage:long", "stage:short"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], False),
        (["-n", "4"], False),
        (["run", "-a"], False),
        (["stage:short"], False),
        (["extra"], True),
        (["-a", "extra:long"], True),
        (["data/long/"], True),
        (["stage:*"], True),
        (["list"], True),
        (["forget", "stage:short"], True),
    ],
)
def test_a_build_without_an_optional_name_leaves_optional_artifacts_out(words, expected):
    assert may_name(words, {"extra", "extra:long", "stage:long", "data/long"}) is expected


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"recipes/adapter/a.toml": LONG}, "recipes/adapter/: the name of a kind of artifact - rename the folder"),
        (
            {"recipes/a/b/c.toml": LONG},
            "recipes/a/b/c.toml: too deep - a recipe lies in recipes/ or in a folder of it",
        ),
        (
            {"recipes/a/b.toml": MAIN},
            "recipes/a/b.toml: dataset.few: the name is taken by dataset.few (recipes/project.toml) - choose another",
        ),
    ],
)
def test_a_misplaced_optional_recipe_is_a_mistake(tmp_path, files, problem):
    with pytest.raises(RecipeError) as error:
        Project.load(create(tmp_path, MAIN, files))
    assert error.value.problems == (problem,)
