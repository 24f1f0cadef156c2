"""Results as trees of label maps, in the order of a data set or of what a tool exports.

base        what all of these share: class and object maps of a result
colors      colour-coded maps with class_dict.csv
voc         PASCAL VOC as labelme2voc writes it, and CVAT's "segmentation mask"
cityscapes  Cityscapes and KITTI, for data with their classes
mapillary   Vistas, with a configuration of any classes
ade20k      ADE20K full, as released in 2016 and 2017
"""
