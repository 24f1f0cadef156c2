"""Regions that CLIP looks at: recipes of published systems, and cutting them out of an image."""
