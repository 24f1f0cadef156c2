"""COCO: JSON of instances, of panoptic segments and of captions.

schemas         what is read of the JSON
files           finding the JSON of a split, its images and its classes
instances, panoptic, captions    the three layouts
"""
