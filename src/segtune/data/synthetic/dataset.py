"""The synthetic worlds as datasets: samples with images, labels, captions and clicks, on the fly.

Splits:
    train: only classes that the world shows in training (`base`: the seen compositions).
    train-open: all classes occur, for self-training and transductive protocols; what the world
        does not annotate stays unlabelled, unless `reveal` is set.
    val, test: all classes occur and all are labelled.
"""

import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segtune.data.synthetic.attributes import STUFF, stuff_concepts
from segtune.data.synthetic.captions import CLEAN, CaptionStyle, caption_scene
from segtune.data.synthetic.scene import Scene, compose_scene, default_tiles, inner_point
from segtune.data.synthetic.surfaces import TilePool
from segtune.data.synthetic.weather import apply_weather
from segtune.data.synthetic.worlds import World, make_world
from segtune.errors import SegtuneError
from segtune.types import IGNORE, Instance, Sample, Vocabulary

NUM_ABSENT = 5
"""Classes that the lists of an image name as absent."""
SPLIT_LENGTHS = {"train": 2000, "train-open": 2000, "val": 200, "test": 500}


def _class_shares(world: World, split: str) -> NDArray[np.float64]:
    """(num_things,) float64, how often each thing class occurs in a split, summing to 1."""
    shares = np.array(world.train_shares if split.startswith("train") else world.test_shares)
    if split == "train":
        shares *= [concept.group in world.train_groups for concept in world.thing_concepts]
    return shares / shares.sum()


def render_scene(
    world: World,
    split: str,
    index: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (192, 192),
    tiles: TilePool | None = None,
) -> Scene:
    """The scene of a world that belongs to (split, index, seed); always the same pixels.

    `Scene.things` are class ids of the world's vocabulary. Weather changes the image only: `fog`
    and `base` have equal labels at equal index.

    Args:
        world: from `make_world`.
        split: one of `SPLIT_LENGTHS`.
        index: number of the scene, unbounded.
        seed: another seed gives another dataset.
        size: (height, width) in pixels, each 64..512.
        tiles: pool of surfaces; the default pool where None.
    """
    tiles = tiles or default_tiles()
    shares = _class_shares(world, split)
    key = [seed, list(SPLIT_LENGTHS).index(split), index]
    rng = np.random.default_rng([*key, zlib.crc32(world.scene_key.encode())])
    scene = compose_scene(
        world.compositions,
        lambda rng, count: rng.choice(len(shares), size=count, p=shares),
        rng,
        size=size,
        tiles=tiles,
    )
    if world.weather is None:
        return scene
    rng = np.random.default_rng([*key, zlib.crc32(world.weather.encode())])
    return replace(scene, image=apply_weather(world.weather, scene.image, rng, tiles))


class SyntheticDataset:
    """One split of a synthetic world; follows the `Dataset` protocol and can be pickled.

    Args:
        world: a world or its name.
        split: "train", "train-open", "val" or "test".
        size: (height, width) of the images in pixels, each 64..512.
        length: number of samples; 2000 for train splits, 200 for val and 500 for test by default.
        seed: another seed gives other scenes.
        reveal: label everything in train splits too (for upper bounds), captions included.
        stuff_regions: also list stuff regions as instances, after the things.
        caption_style: how faithful captions are.
        num_captions: how many there are of each image; they differ in wording and, in a noisy
            style, in what they leave out and get wrong.
        image_lists: tell, as LVIS does, which classes are in an image without a label, and
            `NUM_ABSENT` of those that are not in it.
        tiles: pool of surfaces; the default pool where None.

    Example:
        >>> dataset = SyntheticDataset("base", "val", size=(64, 64))
        >>> sample = dataset[0]
        >>> len(dataset), sample.id, sample.pixels().shape
        (200, 'base-val-00000', (64, 64, 3))
    """

    def __init__(
        self,
        world: World | str = "base",
        split: str = "train",
        size: tuple[int, int] = (192, 192),
        length: int | None = None,
        seed: int = 0,
        *,
        reveal: bool = False,
        stuff_regions: bool = False,
        caption_style: CaptionStyle = CLEAN,
        num_captions: int = 1,
        image_lists: bool = False,
        tiles: TilePool | None = None,
    ) -> None:
        if split not in SPLIT_LENGTHS:
            raise SegtuneError(
                f"there is no split {split!r} in a synthetic world; "
                f"use one of {', '.join(SPLIT_LENGTHS)}"
            )
        self.world = make_world(world) if isinstance(world, str) else world
        self.name = f"synthetic:{self.world.name}"
        self.vocabulary: Vocabulary = self.world.vocabulary
        self.split = split
        self.size = size
        self.length = SPLIT_LENGTHS[split] if length is None else length
        self.seed = seed
        self.reveal = reveal
        self.stuff_regions = stuff_regions
        self.caption_style = caption_style
        self.num_captions = num_captions
        self.image_lists = image_lists
        self.tiles = tiles

    def __len__(self) -> int:
        return self.length

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without rendering it."""
        return f"{self.world.name}-{self.split}-{index:05d}"

    def scene(self, index: int) -> Scene:
        """Returns the full truth behind a sample, hidden classes included."""
        if not 0 <= index < self.length:
            raise IndexError(f"sample {index} of {self.name} {self.split}, which has {self.length}")
        return render_scene(
            self.world, self.split, index, seed=self.seed, size=self.size, tiles=self.tiles
        )

    def __getitem__(self, index: int) -> Sample:
        scene = self.scene(index)
        class_of_thing = np.array([self._label(thing) for thing in scene.things], np.int32)
        semantic = self._stuff_labels(scene)
        on_thing = scene.thing_map >= 0
        semantic[on_thing] = class_of_thing[scene.thing_map[on_thing]]
        named = np.flatnonzero(class_of_thing != IGNORE)
        instances = [
            Instance(int(class_of_thing[i]), mask=scene.thing_map == i) for i in named.tolist()
        ]
        points = scene.points[named].tolist()
        if self.stuff_regions and self.world.annotates_stuff:
            for class_id in np.unique(semantic[~on_thing]).tolist():
                instances.append(Instance(class_id, mask=(semantic == class_id) & ~on_thing))
                points.append(inner_point(instances[-1].mask))
        return Sample(
            id=self.sample_id(index),
            image=scene.image,
            semantic=semantic,
            instances=tuple(instances),
            captions=tuple(self._caption(scene, index, k) for k in range(self.num_captions)),
            points=np.array(points, np.float32).reshape(-1, 2),
            absent_ids=self._absent(scene, index) if self.image_lists else None,
            not_exhaustive_ids=self._unlabelled(scene) if self.image_lists else (),
        )

    def _unlabelled(self, scene: Scene) -> tuple[int, ...]:
        """The classes of things that are in a scene without a label."""
        return tuple(sorted({t for t in scene.things if self._label(t) == IGNORE}))

    def _absent(self, scene: Scene, index: int) -> tuple[int, ...]:
        """A few classes of things that are not in a scene, in order."""
        rest = sorted(set(range(self.world.num_things)) - set(scene.things))
        rng = np.random.default_rng([self.seed, index, 11])
        chosen = rng.choice(rest, size=min(NUM_ABSENT, len(rest)), replace=False)
        return tuple(sorted(chosen.tolist()))

    def _label(self, thing: int) -> int:
        """The class id of a thing, or `IGNORE` where this split does not annotate it."""
        hidden = (
            self.split.startswith("train")
            and not self.reveal
            and self.vocabulary.concepts[thing].group not in self.world.annotated_groups
        )
        return IGNORE if hidden else thing

    def _stuff_labels(self, scene: Scene) -> NDArray[np.int32]:
        """(H, W) int32 class ids of the stuff, or all `IGNORE` where the world has none."""
        if self.world.annotates_stuff:
            return scene.stuff_ids + np.int32(self.world.num_things)
        return np.full_like(scene.stuff_ids, IGNORE)

    def _caption(self, scene: Scene, index: int, number: int) -> str:
        """A sentence about what this split annotates, and about all visible stuff."""
        concepts = self.vocabulary.concepts
        surfaces = stuff_concepts()
        nameable = [c for k, c in enumerate(concepts) if self._label(k) != IGNORE]
        key = [self.seed, list(SPLIT_LENGTHS).index(self.split), index, 7]
        rng = np.random.default_rng(key if number == 0 else [*key, number])
        return caption_scene(
            [concepts[thing] for thing in scene.things if self._label(thing) != IGNORE],
            [surfaces[STUFF.index(name)] for name in scene.visible_stuff],
            rng,
            style=self.caption_style,
            thing_candidates=[c for c in nameable if c.kind == "thing"],
            stuff_candidates=surfaces,
        ).text
