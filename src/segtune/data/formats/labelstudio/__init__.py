"""Label Studio's own JSON: a list of tasks with annotations or predictions.

brush     the run lengths of brush masks
tasks     read
writing   predictions, to be corrected there
"""
