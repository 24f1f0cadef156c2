"""Scores, protocols and reports.

`run.evaluate` scores a model on a data set and returns a `result`. `judges` is the table of tasks,
each with its own file; `judging` is the loop over the images, `needs` what a task asks of data.
What they count with: `semantic` (the confusion matrix), `instances`, `panoptic`, `promptable`.
`confusions`, `retention` and `mask_names` read more out of counts; `reports` writes them down.
"""
