"""Adapting CLIP to masked regions by mask-category pairs (OVSeg, Liang et al., CVPR 2023, 3.2-3.3).

    pairs ─ regions ─ random crops ─► batches ─► image tower, mask prompts ─► contrast with words

`recipe` holds every setting, `regions` and `batches` make what is looked at, `model` is what is
learned, `loss` compares, `run` is one call from a recipe to a model folder and a prompt file.
"""
