"""Label maps of tools: colours with a table of what they mean, and trees like that of PASCAL VOC.

color_table    which class a colour is, from the files that tools write of it
color_png      folders of photographs and of colour-coded maps
voc_project    JPEGImages/ with SegmentationClass[PNG]/, of labelme2voc, CVAT and others
"""
