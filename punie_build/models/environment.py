"""The environment that MLX computes in, as far as it decides numbers."""

from __future__ import annotations

from punie_build.runtime import blas, versions


def mlx_environment() -> dict[str, str]:
    """Return the versions of mlx and mlx-lm, the device family and the BLAS: other ones give other numbers."""
    return {
        "mlx": versions.version("mlx"),
        "mlx-lm": versions.version("mlx-lm"),
        "device": versions.device(),
        "blas": blas.name(),
    }
