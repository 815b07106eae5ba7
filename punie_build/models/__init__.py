"""Base models: their specs, their folders, and facts that their files tell without mlx.

Public modules: `spec` (Base), `locate`, `architecture`, `safetensors` (headers), `verify` (signature of a base).
`precision` imports mlx.
"""
