"""YOLO segmentation: a line of text per object, and data.yaml with the classes.

folders    read
writing    written
"""
