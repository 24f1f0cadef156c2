import pickle
from itertools import islice

import numpy as np
import pytest

from segtune.data.synthetic.captions import CaptionStyle
from segtune.data.synthetic.dataset import SPLIT_LENGTHS, SyntheticDataset, render_scene
from segtune.data.synthetic.worlds import make_world, world_names
from segtune.types import IGNORE, Dataset

SIZE = (64, 80)


def _classes(dataset, count):
    return {thing for index in range(count) for thing in dataset.scene(index).things}


def _group(dataset, class_id):
    return dataset.vocabulary.concepts[class_id].group


@pytest.mark.parametrize("world", world_names())
def test_samples_follow_the_protocol(world):
    dataset = SyntheticDataset(world, "val", size=SIZE, length=3)
    assert isinstance(dataset, Dataset)
    assert dataset.name == f"synthetic:{world}"
    assert len(dataset) == 3
    samples = list(dataset)
    assert [sample.id for sample in samples] == [dataset.sample_id(i) for i in range(3)]
    for sample in samples:
        assert sample.pixels().shape == (*SIZE, 3)
        assert sample.semantic.shape == SIZE
        assert sample.semantic.dtype == np.int32
        assert sample.semantic.min() >= IGNORE
        assert sample.semantic.max() < len(dataset.vocabulary)
        assert sample.points.shape == (len(sample.instances), 2)
        assert sample.points.dtype == np.float32
        assert len(sample.captions) == 1


@pytest.mark.parametrize(
    ("world", "stuff_regions"), [("base", False), ("base", True), ("jargon", True)]
)
def test_instances_are_disjoint_and_agree_with_the_semantic_map(world, stuff_regions):
    dataset = SyntheticDataset(world, "val", size=SIZE, stuff_regions=stuff_regions)
    for sample in islice(dataset, 15):
        covered = np.zeros(SIZE, int)
        for instance, (x, y) in zip(sample.instances, sample.points, strict=True):
            assert instance.mask.any()
            assert instance.mask[int(y), int(x)]
            assert (sample.semantic[instance.mask] == instance.class_id).all()
            covered += instance.mask
        assert covered.max() == 1
        kinds = np.array([concept.kind == "thing" for concept in dataset.vocabulary])
        expected = np.ones(SIZE, bool) if stuff_regions else kinds[sample.semantic]
        np.testing.assert_array_equal(covered == 1, expected)


def test_same_seed_same_sample_and_pickling_keeps_it():
    dataset = SyntheticDataset("base", "train", size=SIZE, seed=3)
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(dataset[5].image, copy[5].image)
    assert dataset[5].captions == copy[5].captions


def test_splits_seeds_indices_and_worlds_show_different_scenes():
    images = {
        SyntheticDataset(world, split, size=SIZE, seed=seed)[index].image.tobytes()
        for world in ("base", "jargon", "longtail")
        for split in SPLIT_LENGTHS
        for seed in (0, 1)
        for index in (0, 1)
    }
    assert len(images) == 3 * 4 * 2 * 2


@pytest.mark.parametrize("world", ["base", "base-15-5", "longtail"])
def test_unseen_classes_never_occur_in_train_and_do_elsewhere(world):
    for split in SPLIT_LENGTHS:
        dataset = SyntheticDataset(world, split, size=(64, 64))
        groups = {_group(dataset, class_id) for class_id in _classes(dataset, 60)}
        assert ("unseen" in groups) == (split != "train")


def test_train_open_shows_unseen_things_without_label_unless_revealed():
    hidden = SyntheticDataset("base", "train-open", size=SIZE)
    revealed = SyntheticDataset("base", "train-open", size=SIZE, reveal=True)
    num_hidden = 0
    for index in range(20):
        scene, sample = hidden.scene(index), hidden[index]
        assert all(_group(hidden, i.class_id) == "seen" for i in sample.instances)
        for k, thing in enumerate(scene.things):
            unseen = _group(hidden, thing) == "unseen"
            num_hidden += unseen
            expected = IGNORE if unseen else thing
            assert (sample.semantic[scene.thing_map == k] == expected).all()
            if unseen:
                assert hidden.vocabulary.names[thing] not in sample.captions[0]
        assert len(revealed[index].instances) == len(scene.things)
        assert (revealed[index].semantic != IGNORE).all()
    assert num_hidden > 5


def test_longtail_annotates_only_known_classes_in_train():
    dataset = SyntheticDataset("longtail", "train", size=(64, 64))
    shown = {_group(dataset, class_id) for class_id in _classes(dataset, 60)}
    labelled = {_group(dataset, i.class_id) for s in islice(dataset, 60) for i in s.instances}
    assert shown == {"known", "seen"}
    assert labelled == {"known"}


def test_longtail_frequencies_fall():
    dataset = SyntheticDataset("longtail", "train", size=(64, 64))
    things = [thing for index in range(150) for thing in dataset.scene(index).things]
    counts = np.bincount(things, minlength=120)
    assert counts[:10].sum() > 3 * counts[60:70].sum()


def test_zero_shot_world_labels_things_only():
    dataset = SyntheticDataset("base-15-5", "test", size=SIZE)
    for sample in islice(dataset, 5):
        on_things = np.any([instance.mask for instance in sample.instances], axis=0)
        np.testing.assert_array_equal(sample.semantic == IGNORE, ~on_things)


def test_jargon_captions_use_the_new_names():
    dataset = SyntheticDataset("jargon", "train", size=SIZE)
    for index in range(5):
        caption = dataset[index].captions[0]
        for thing in dataset.scene(index).things:
            assert dataset.vocabulary.names[thing] in caption


def test_noisy_captions_differ_from_clean_ones():
    noisy = CaptionStyle(missing_rate=0.5, wrong_rate=0.5)
    clean = SyntheticDataset("base", size=SIZE, length=10)
    dirty = SyntheticDataset("base", size=SIZE, length=10, caption_style=noisy)
    assert sum(a.captions != b.captions for a, b in zip(clean, dirty, strict=True)) >= 8


def test_render_scene_is_what_the_dataset_shows():
    scene = render_scene(make_world("night"), "test", 4, seed=2, size=SIZE)
    sample = SyntheticDataset("night", "test", size=SIZE, seed=2)[4]
    np.testing.assert_array_equal(scene.image, sample.image)


@pytest.mark.parametrize(("split", "length"), SPLIT_LENGTHS.items())
def test_default_lengths(split, length):
    assert len(SyntheticDataset("base", split)) == length


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="train-open"):
        SyntheticDataset("base", "trian")
    with pytest.raises(IndexError, match="which has 2"):
        SyntheticDataset("base", "val", length=2)[2]


def test_lists_name_what_is_there_without_label_and_a_few_that_are_not():
    plain, listed = (
        SyntheticDataset("longtail", "train", size=(64, 64), length=30, image_lists=lists)
        for lists in (False, True)
    )
    seen = set(plain.vocabulary.ids_in("seen"))
    found = set()
    for index in range(30):
        sample, things = listed[index], set(listed.scene(index).things)
        labelled = {item.class_id for item in sample.instances}
        assert set(sample.not_exhaustive_ids) == things - labelled
        assert set(sample.not_exhaustive_ids) <= seen
        assert len(set(sample.absent_ids)) == 5
        assert not set(sample.absent_ids) & things
        found |= set(sample.absent_ids)
        assert (plain[index].absent_ids, plain[index].not_exhaustive_ids) == (None, ())
    assert found & set(plain.vocabulary.ids_in("unseen"))
    everything = SyntheticDataset("longtail", "val", size=(64, 64), length=1, image_lists=True)[0]
    assert everything.not_exhaustive_ids == ()
