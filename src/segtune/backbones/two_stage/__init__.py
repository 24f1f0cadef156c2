"""Mask proposals in front of a CLIP, and where the proposals come from."""
