"""CLIP with a ViT image tower: what it is, its key tables and its files."""
