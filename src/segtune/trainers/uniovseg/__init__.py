"""Uni-OVSeg in two stages: masks without names (`masks_*`), then captions (`captions_*`).

Stage 1 trains the decoders on points and boxes and leaves a folder of the model. Stage 2 leaves the
decoders alone, and trains the adapter of `segtune.systems.uniovseg` on images with captions.
"""
