"""Comparisons of evaluations: `report` as JSON and CSV, `html` as one page with pictures."""
