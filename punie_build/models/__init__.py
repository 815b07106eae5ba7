"""Base models: their specs, their folders, and facts that their files tell without mlx.

`spec` has `Base`, `locate` finds a base, `hub_download` downloads it, `architecture` and `weights` read its layers and
sizes, `safetensors` reads headers, `verify` the signature of its weights; `environment` has the versions of mlx and BLAS for keys. `precision`
is the only module that imports mlx.
"""

__all__ = ("architecture", "environment", "locate", "precision", "safetensors", "spec", "verify", "weights")
