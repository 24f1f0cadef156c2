"""Average precision and recall of scored regions.

`evaluator` takes image by image; `fields` and `overlaps` read what it is given, `tables` is what it
keeps, `matching` pairs predictions with objects, `protocols` and `federated` say which pairs count,
`scores` and `region_scores` are what tables and reports read.
"""
