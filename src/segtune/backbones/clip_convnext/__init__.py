"""CLIP with a ConvNeXt image tower, in plain torch: dense features at any size, and words."""
