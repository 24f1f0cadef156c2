"""Mask2Former with fixed classes or none: what it is, its key tables, its files, its answers."""
