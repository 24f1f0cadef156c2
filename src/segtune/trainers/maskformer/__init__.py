"""Training of the mask proposals of OVSeg, SimBaseline and ZegFormer, by the recipes of the papers.

    images ─ views ─► batches ─► MaskFormer ─► matched masks and words ─► one loss per decoder layer

`recipe` holds every setting, `presets` the published values, `batches` makes what is looked at,
`model` is what is learned and how parameters are grouped, `init` finds the weights to start from,
`run` is one call from a recipe to a model folder.
"""
