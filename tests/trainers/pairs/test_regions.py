"""From pairs to regions: labels, files of pairs, released crops, and what does not fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from segtune.data.pairs import Pair, encode_rle, write_pairs
from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.ops.normalisation import CLIP
from segtune.ops.regions.cut import cut_regions
from segtune.ops.regions.recipes import RegionConfig
from segtune.trainers.pairs import regions as module
from segtune.trainers.pairs.regions import Crop, PairRegions, labelled_pairs, open_pairs
from segtune.types import Concept, Instance, Sample, Vocabulary

WORDS = Vocabulary((Concept("car"), Concept("road", kind="stuff"), Concept("sky", kind="stuff")))
SIDE = 16


def _dataset() -> IndexedDataset:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    semantic = np.full((20, 30), 1, np.int32)
    semantic[:6] = 2
    semantic[8:15, 4:12] = 0
    semantic[9, 9] = -1
    crowd = np.zeros_like(semantic, bool)
    crowd[18:] = True
    unnamed = semantic == 2
    objects = (Instance(0, semantic == 0), Instance(0, crowd, is_crowd=True), Instance(-1, unnamed))
    samples = {
        "objects": Sample("objects", image, semantic, objects),
        "map": Sample("map", image[:, ::-1].copy(), semantic[:, ::-1].copy()),
    }
    records = [Record(name, None) for name in samples]
    return IndexedDataset("two", "train", WORDS, records, lambda record: samples[record.id])


def _pair_regions(pairs, **changes) -> PairRegions:
    config = RegionConfig(size=SIDE)
    return PairRegions(pairs, config, normalisation=CLIP, **changes)


def test_labelled_regions_and_their_names():
    """Crowds and unnamed objects are left out, and so is the sky that the unnamed one covers."""
    pairs = list(labelled_pairs(_dataset()))
    assert [(p.id, p.text) for p in pairs] == [
        ("objects", "car"),
        ("objects", "road"),
        ("map", "car"),
        ("map", "road"),
        ("map", "sky"),
    ]
    car = pairs[0]
    assert (car.box_px, car.size, car.score) == ((4, 8, 12, 15), (20, 30), 1.0)
    assert np.array_equal(car.mask(), _dataset()[0].semantic == 0)


def test_a_pair_shows_its_region():
    dataset = _dataset()
    pairs = list(labelled_pairs(dataset))
    regions = _pair_regions(pairs, dataset=dataset)
    for index, pair in enumerate(pairs):
        sample = dataset[["objects", "map"].index(pair.id)]
        image = torch.from_numpy(sample.pixels()).permute(2, 0, 1).float()
        mask = torch.from_numpy(pair.mask())[None]
        config = RegionConfig(size=SIDE)
        cut = cut_regions(image, mask, config, normalisation=CLIP)
        torch.testing.assert_close(regions[index].pixels, cut.pixels[0].half())
        assert torch.equal(regions[index].mask, cut.masks[0] > 0)
    assert len(regions) == 5


def test_regions_are_kept_as_long_as_memory_allows(monkeypatch):
    dataset = _dataset()
    pairs = list(labelled_pairs(dataset))
    monkeypatch.setattr(module, "KEPT_BYTES", 2 * SIDE * SIDE * 7)
    regions = _pair_regions(pairs, dataset=dataset)
    first = [regions[index] for index in range(5)]
    again = [regions[index] for index in range(5)]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True] * 2 + [False] * 3
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.pixels, b.pixels)


def _pair(image: str, size: tuple[int, int] = (20, 30)) -> Pair:
    mask = np.zeros(size, bool)
    mask[3:9, 5:20] = True
    return Pair(image, "a", size, encode_rle(mask), (5, 3, 20, 9), "car", "car", 0, 0.3, "gt")


def test_images_are_found_beside_the_file_or_by_path(tmp_path):
    pixels = _dataset()[0].pixels()
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/a.png")
    absolute = str(tmp_path / "photos/a.png")
    regions = _pair_regions([_pair("photos/a.png"), _pair(absolute)], folder=tmp_path)
    assert torch.equal(regions[0].pixels, regions[1].pixels)
    with pytest.raises(DataError, match=r"no image b\.png .* of that name; name the data"):
        _pair_regions([_pair("b.png")], folder=tmp_path)[0]
    with pytest.raises(DataError, match=r"made for an image .* of 30x40, but it is 30x20"):
        _pair_regions([_pair("photos/a.png", (40, 30))], folder=tmp_path)[0]


def test_files_of_pairs(tmp_path):
    pairs = [_pair("a.png"), _pair("b.png")]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    assert open_pairs(tmp_path / "pairs.jsonl") == pairs
    write_pairs(tmp_path / "none.jsonl", [])
    with pytest.raises(DataError, match="has no pairs"):
        open_pairs(tmp_path / "none.jsonl")
    with pytest.raises(FileNotFoundError, match="`segtune mine` writes such a file"):
        open_pairs(tmp_path / "absent.jsonl")


@pytest.mark.parametrize(("name", "mark"), [("crops.tsv", "\t"), ("crops.csv", ",")])
def test_tables_of_released_crops(tmp_path, name, mark):
    for side, file in ((SIDE, "0.png"), (24, "1.png")):
        Image.new("RGB", (side, side), (124, 116, 103)).save(tmp_path / file)
    rows = [("filepath", "title"), ("0.png", "car"), ("1.png", "traffic light")]
    (tmp_path / name).write_text("".join(f"{mark.join(row)}\n" for row in rows))
    crops = open_pairs(tmp_path / name)
    assert crops[1] == Crop(tmp_path / "1.png", "traffic light")
    regions = _pair_regions(crops)
    for index in range(2):
        region = regions[index]
        assert region.mask is None
        assert region.pixels.dtype == torch.uint8
        assert region.pixels.shape == (3, SIDE, SIDE)
        assert region.pixels[:, 3, 3].tolist() == [124, 116, 103]
    (tmp_path / name).write_text("file,words\n0.png,car\n")
    with pytest.raises(DataError, match="columns filepath and title"):
        open_pairs(tmp_path / name)
