"""Uni-OVSeg: open-vocabulary segmentation from unpaired masks and texts (Wang et al. 2024).

Masks without names teach the frozen model's decoders (`matching`, `loss`); images with captions
teach an adapter that brings regions and words together (`alignment`, `adapter`). What answers with
names is in `classifier`.
"""
