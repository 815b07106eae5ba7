"""Export of models: an adapter fused into its base, or a base alone, quantized and measured.

Public modules: `spec` (Model), `model_folder` (comparison with the recipe), `steps`. `process` and `fidelity` import
mlx.
"""
