"""What the engine is for: graphs of stages, and what is made of their columns.

mine    mask-category pairs from captions (OVSeg)
align   masks with the entities of captions that they show (Uni-OVSeg)
"""
