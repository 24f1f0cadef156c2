"""LabelMe: one JSON beside each photograph; and what its own converters make of them.

project     the JSON files, read and written
exported    JPEGImages/ with SegmentationClass[PNG]/ of labelme2voc, and of other tools
"""
