"""LVIS-OW: LVIS v1 divided into classes that are annotated, visible, and absent in training.

SegPrompt (ICCV 2023). `sources` reads the files of LVIS and COCO without their masks, `building`
writes those of LVIS-OW, `invariants` checks what was written.
"""
