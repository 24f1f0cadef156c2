"""The synthetic open world: things (texture x colour x shape) on procedural stuff, made by code.

Where is what:
    attributes: the words, and which compositions are unseen.
    worlds: `base`, `longtail`, `jargon`, `base-15-5` and the weathers.
    dataset: `SyntheticDataset`, the splits.
    scene: whole scenes and single-object crops; objects, shapes, textures, surfaces, layout,
        noise, weather: how they are drawn.
    captions: what is said about them.
    contact_sheet: a picture of it all.
"""

from segtune.data.synthetic.attributes import STUFF, Composition, base_vocabulary, compositions
from segtune.data.synthetic.captions import (
    CLEAN,
    NOISY,
    Caption,
    CaptionStyle,
    caption_crop,
    caption_scene,
    caption_stuff,
)
from segtune.data.synthetic.dataset import SPLIT_LENGTHS, SyntheticDataset, render_scene
from segtune.data.synthetic.scene import Scene, compose_scene, render_crop, render_stuff_crop
from segtune.data.synthetic.surfaces import TilePool
from segtune.data.synthetic.worlds import World, make_world, world_names

__all__ = [
    "CLEAN",
    "NOISY",
    "SPLIT_LENGTHS",
    "STUFF",
    "Caption",
    "CaptionStyle",
    "Composition",
    "Scene",
    "SyntheticDataset",
    "TilePool",
    "World",
    "base_vocabulary",
    "caption_crop",
    "caption_scene",
    "caption_stuff",
    "compose_scene",
    "compositions",
    "make_world",
    "render_crop",
    "render_scene",
    "render_stuff_crop",
    "world_names",
]
