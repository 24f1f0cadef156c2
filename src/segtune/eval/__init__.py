"""Scores, protocols and reports.

`evaluate` runs a prediction function over a data set and returns a `result`; `semantic` holds the
confusion matrix and its scores, `confusions` and `retention` read more out of it, `report` compares
results as JSON and CSV, `html` as a page.
"""
