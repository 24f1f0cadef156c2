"""Masks that come from outside: whose they are, what files and shapes hold, in which frame.

Where is what:
    names: which entry of a file or folder belongs to which image.
    source: one file or folder with the masks of one image or of many.
    files: masks and label maps in picture files of any mode.
    shapes: polygons and RLE, checked before anything decodes them.
    frames: from the pixels that a label tool saw to the upright image.
"""
