from __future__ import annotations

import subprocess
import sys

from punie_build.runtime.garbage import OBJECTS
from tests.support import project


def test_doit_and_commands_collect_garbage_rarely(tmp_path):
    root = project.create(tmp_path, '[dataset.rows]\nsource = { type = "sample", max_examples = 5 }\n')
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_threshold()[0])); "
    programs = {
        "doit": 'import sys; sys.argv = ["doit", "list"]; from doit.doit_cmd import DoitMain; DoitMain().run(["list"])',
        "punie-build": 'import sys; sys.argv[1:] = ["list"]; from punie_build.cli.main import main; main()',
    }
    for program in programs.values():
        done = subprocess.run([sys.executable, "-c", code + program], cwd=root, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1:] == [f"{OBJECTS}"], done.stderr
