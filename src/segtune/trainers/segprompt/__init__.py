"""Class-agnostic training of a Mask2Former, with the prompts of SegPrompt or without them.

    images ─ views ─► batches ─► Mask2Former with prompt and example queries ─► losses, cache

`recipe` holds every setting, `batches` makes what is looked at, `model` is what is learned, `run`
is one call from a recipe to a model folder.
"""
