"""Names of labelled regions: pixels and regions are counted, each by hand."""

import numpy as np
import pytest
import torch

from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.eval import mask_names
from segtune.eval.mask_names import score_mask_names
from segtune.systems.base import Words
from segtune.types import Concept, Instance, Sample, Vocabulary

WORDS = Vocabulary((Concept("car", group="seen"), Concept("bus", group="unseen"), Concept("dog")))


def _dataset(samples: list[Sample]) -> IndexedDataset:
    by_id = {sample.id: sample for sample in samples}
    records = [Record(name, None) for name in by_id]
    return IndexedDataset("some", "val", WORDS, records, lambda record: by_id[record.id])


def _sample(name: str, *regions: tuple[int, int]) -> Sample:
    """Regions (class, rows) below each other; what is left has no label."""
    semantic, top, objects = np.full((10, 4), -1, np.int32), 0, []
    for class_id, rows in regions:
        semantic[top : top + rows] = class_id
        mask = np.zeros((10, 4), bool)
        mask[top : top + rows] = True
        objects.append(Instance(class_id, mask))
        top += rows
    return Sample(name, np.zeros((10, 4, 3), np.uint8), semantic, tuple(objects))


def test_pixels_and_regions_are_counted(tiny_clip, monkeypatch):
    answers = iter([[0, 0, 1], [1]])  # of the regions of the two images

    def named(clip, pixels, masks, words, config, *, mask_prompts):
        ids = torch.tensor(next(answers))
        assert len(ids) == len(masks)
        return torch.nn.functional.one_hot(ids, 3).float()

    monkeypatch.setattr(mask_names, "mask_probs", named)
    samples = [_sample("a", (0, 2), (0, 1), (1, 3)), _sample("n"), _sample("b", (0, 5))]
    scores = score_mask_names(tiny_clip, _dataset(samples), Words(torch.eye(3)), progress=False)
    row = scores.summary()
    assert row["top-1"] == pytest.approx(3 / 4)
    assert row["macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert row["top-1(seen)"] == pytest.approx(2 / 3)
    assert row["top-1(unseen)"] == 1.0
    car, bus = 3 / (3 + 5), 3 / (3 + 5)  # rows of pixels
    assert row["mIoU"] == pytest.approx((car + bus) / 2)


def test_with_a_clip_and_prompts(tiny_clip):
    dataset = _dataset([_sample("a", (0, 6), (1, 2)), _sample("b", (2, 4))])
    words = Words(torch.nn.functional.normalize(torch.randn(3, tiny_clip.joint_width), dim=1))
    config = mask_names.RegionConfig(size=tiny_clip.image_size)
    for prompts in (None, torch.randn(1, 16, 32)):
        scores = score_mask_names(
            tiny_clip, dataset, words, mask_prompts=prompts, config=config, progress=False
        )
        assert scores.regions.truth_pixels.tolist() == [1, 1, 1]
        assert scores.pixels.truth_pixels.tolist() == [24, 8, 16]
    one = score_mask_names(tiny_clip, dataset, words, config=config, limit=1, progress=False)
    assert one.regions.truth_pixels.tolist() == [1, 1, 0]


def test_nothing_to_name(tiny_clip):
    with pytest.raises(DataError, match="no labelled regions"):
        score_mask_names(tiny_clip, _dataset([_sample("n")]), Words(torch.eye(3)), progress=False)
