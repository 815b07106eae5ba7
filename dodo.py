"""What doit builds: every artifact the recipes describe. `doit list` shows them."""

from punie_build.doit_tasks import DOIT_CONFIG as DOIT_CONFIG
from punie_build.doit_tasks import artifacts


def task_artifacts():
    yield from artifacts()
