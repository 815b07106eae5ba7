"""Matrix products per second in mlx, with and without the BLAS that punie-build preloads. Prints GFLOP/s."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from punie_build.runtime import blas

MEASURE = """
import sys, time
import mlx.core as mx
mx.set_default_device(mx.cpu)
for size in (256, 1024):
    a, b = mx.random.normal((size, size)), mx.random.normal((size, size))
    mx.eval(a @ b)
    best, started = 1e9, time.perf_counter()
    while time.perf_counter() - started < 3:
        before = time.perf_counter()
        mx.eval(a @ b)
        best = min(best, time.perf_counter() - before)
    print(f"{sys.argv[1]:<12} {size} x {size}: {2 * size**3 / best / 1e9:.1f} GFLOP/s")
"""

if __name__ == "__main__":
    for name, variables in (("wheel alone", {}), ("preloaded", blas.environment(Path.cwd()))):
        subprocess.run([sys.executable, "-c", MEASURE, name], env={**os.environ, **variables}, check=True)
