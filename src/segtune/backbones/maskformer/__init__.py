"""MaskFormer that compares masks with words: what it is, its key tables and its files."""
