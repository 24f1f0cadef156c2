"""Stored scenes against the ones that are rendered on the fly."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from segtune.data.formats import open_dataset
from segtune.data.synthetic import store
from segtune.data.synthetic.captions import CaptionStyle
from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.data.synthetic.store import StoredScenes
from segtune.types import Dataset

SIZE = (64, 80)


def dataset(world="base", split="train", length=3, **options):
    return SyntheticDataset(world, split, size=SIZE, length=length, **options)


def assert_equal(one, two):
    assert one.id == two.id
    assert one.captions == two.captions
    assert (one.absent_ids, one.not_exhaustive_ids) == (two.absent_ids, two.not_exhaustive_ids)
    for name in ("image", "semantic", "points"):
        a, b = getattr(one, name), getattr(two, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert len(one.instances) == len(two.instances)
    for a, b in zip(one.instances, two.instances, strict=True):
        assert (a.class_id, a.is_crowd, a.mask.dtype) == (b.class_id, b.is_crowd, b.mask.dtype)
        np.testing.assert_array_equal(a.mask, b.mask)


@pytest.mark.parametrize(
    ("world", "split", "options"),
    [
        ("base", "train", {}),
        ("base", "val", {"stuff_regions": True}),
        ("base", "train-open", {"reveal": True}),
        ("base-15-5", "test", {"stuff_regions": True}),
        ("longtail", "train", {}),
        ("longtail", "train", {"image_lists": True}),
        ("jargon", "test", {"caption_style": CaptionStyle(missing_rate=0.5, wrong_rate=0.5)}),
        ("fog", "val", {"seed": 3}),
        ("base", "val", {"num_captions": 3}),
    ],
)
def test_samples_equal_those_on_the_fly(world, split, options, tmp_path):
    plain = dataset(world, split, **options)
    stored = StoredScenes(plain, tmp_path, progress=False)
    assert isinstance(stored, Dataset)
    assert (stored.name, stored.split, stored.vocabulary, len(stored)) == (
        plain.name,
        plain.split,
        plain.vocabulary,
        len(plain),
    )
    for index in range(len(plain)):
        assert stored.sample_id(index) == plain.sample_id(index)
        assert_equal(stored[index], plain[index])


def test_a_scene_without_labels_is_kept(tmp_path, monkeypatch):
    plain = dataset(length=2)
    bare = replace(plain[0], instances=(), captions=(), points=np.zeros((0, 2), np.float32))
    monkeypatch.setattr(SyntheticDataset, "__getitem__", lambda self, index: bare)
    stored = StoredScenes(plain, tmp_path, progress=False)
    assert_equal(stored[1], replace(bare, id=plain.sample_id(1)))


def test_the_second_opening_renders_nothing(tmp_path, monkeypatch):
    first = StoredScenes(dataset(), tmp_path, progress=False)
    monkeypatch.setattr(store, "_render", lambda *_args, **_options: pytest.fail("rendered"))
    second = StoredScenes(dataset(), tmp_path, progress=False)
    assert second.folder == first.folder
    assert_equal(second[2], first[2])


@pytest.mark.parametrize(
    "other",
    [
        {"split": "val"},
        {"length": 2},
        {"seed": 1},
        {"stuff_regions": True},
        {"reveal": True},
        {"world": "fog"},
        {"caption_style": CaptionStyle(missing_rate=0.5)},
    ],
    ids=str,
)
def test_every_setting_has_a_folder_of_its_own(other, tmp_path):
    folders = [
        StoredScenes(d, tmp_path, progress=False).folder for d in (dataset(), dataset(**other))
    ]
    assert folders[0] != folders[1]


def test_another_drawing_is_rendered_again(tmp_path, monkeypatch):
    before = StoredScenes(dataset(), tmp_path, progress=False).folder
    scene = SyntheticDataset.scene

    def darker(self, index):
        found = scene(self, index)
        return replace(found, image=found.image // 2)

    monkeypatch.setattr(SyntheticDataset, "scene", darker)
    after = StoredScenes(dataset(), tmp_path, progress=False)
    assert after.folder != before
    assert_equal(after[0], dataset()[0])


def test_an_interrupted_rendering_does_not_count(tmp_path, monkeypatch):
    chunk = store._render_chunk

    def interrupted(job):
        if job[1] > 0:
            raise KeyboardInterrupt
        return chunk(job)

    monkeypatch.setattr(store, "CHUNK", 2)
    monkeypatch.setattr(store.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(store, "_render_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        StoredScenes(dataset(length=5), tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(store, "_render_chunk", chunk)
    stored = StoredScenes(dataset(length=5), tmp_path, progress=False)
    for index in range(5):
        assert_equal(stored[index], dataset(length=5)[index])


def test_what_a_killed_process_left_is_passed_over(tmp_path):
    stored = StoredScenes(dataset(), tmp_path, progress=False)
    half = stored.folder.with_name(stored.folder.name + ".0123abcd.tmp")
    stored.folder.rename(half)
    (half / "notes.jsonl").write_text("")
    again = StoredScenes(dataset(), tmp_path, progress=False)
    assert_equal(again[0], dataset()[0])


def test_the_faster_of_two_processes_wins(tmp_path, monkeypatch):
    winner = StoredScenes(dataset(), tmp_path, progress=False)
    (winner.folder / "mark").touch()
    store._render(dataset(), winner.folder, progress=False)
    assert (winner.folder / "mark").exists()
    assert [path.name for path in tmp_path.iterdir()] == [winner.folder.name]


@pytest.mark.slow
def test_several_processes_render_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHUNK", 2)
    stored = StoredScenes(dataset(length=4), tmp_path, progress=False)
    for index in range(4):
        assert_equal(stored[index], dataset(length=4)[index])


def test_samples_are_copies_and_the_dataset_can_be_pickled(tmp_path):
    stored = StoredScenes(dataset(), tmp_path, progress=False)
    stored[0].image[:] = 0
    stored[0].semantic[:] = 0
    assert_equal(stored[0], dataset()[0])
    assert_equal(pickle.loads(pickle.dumps(stored))[1], dataset()[1])


def test_indices_beyond_the_end_are_refused(tmp_path):
    stored = StoredScenes(dataset(), tmp_path, progress=False)
    for index in (-1, 3):
        with pytest.raises(IndexError, match="which has 3"):
            stored[index]


def test_the_name_of_a_dataset_asks_for_it():
    """In the cache folder of the tests."""
    found = open_dataset("synthetic:base?size=64&length=2&stuff_regions=1&stored=1", split="val")
    assert isinstance(found, StoredScenes)
    plain = open_dataset("synthetic:base?size=64&length=2&stuff_regions=1", split="val")
    assert_equal(found[1], plain[1])


SCRIPT = """
from pathlib import Path
from segtune.data.synthetic import store
from segtune.data.synthetic.dataset import SyntheticDataset
store.CHUNK = 2
print("once")
scenes = store.StoredScenes(
    SyntheticDataset("base", "train", size=(64, 80), length=3), Path("."), progress=False
)
"""


def test_a_script_without_a_guard_renders_in_several_processes(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout, run.stderr) == (0, "once\n", "")
