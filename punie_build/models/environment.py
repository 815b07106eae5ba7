"""The environment that MLX computes in, as far as it decides numbers."""

from __future__ import annotations

from punie_build.runtime import versions

CPU_PRECISION = 2  # raise it if `precision.set_compute_precision` computes a model otherwise: answers are asked again


def mlx_environment() -> dict[str, str]:
    """Return the versions of mlx and mlx-lm, the device family and the BLAS: other ones give other numbers."""
    from punie_build.runtime import blas

    return {
        "mlx": versions.version("mlx"),
        "mlx-lm": versions.version("mlx-lm"),
        "device": versions.device(),
        "blas": blas.name(),
    }


def compute_precision() -> list[str]:
    """Return the version of our conversion of models on a CPU; empty for devices that compute them as stored."""
    return [f"converted {CPU_PRECISION}"] if versions.device() == "cpu" else []
