"""CVAT for images 1.1: one XML file of all images. Its masks export is in `formats/maps`.

shapes     which drawing an element stands for, and run lengths
images     annotations.xml, read
writing    annotations.xml, written
"""
