"""Uni-OVSeg (Wang et al. 2024): a ConvNeXt CLIP whose features answer points and boxes by masks.

What was trained on masks without names is frozen here: pixel decoder, prompt encoder, mask decoder.
How it is trained, and how masks and words are brought together, is in `systems/uniovseg`.
"""
