"""The whole line on toy data: against an obvious version, interrupted, in one process and two."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from pyarrow import parquet

from segtune.data.pairs import read_pairs
from segtune.engine.entries import finish, work_folder
from segtune.engine.graphs.mine import MineConfig, mine
from segtune.engine.judge import verdict
from segtune.engine.masks import ProposedMasks
from segtune.engine.match import Filters
from segtune.engine.regions import RegionCache
from segtune.engine.runners.local import LocalRunner
from segtune.engine.source import divided
from segtune.engine.statistics import statistics_of
from segtune.vocabulary.nouns.lexicon import Lexicon
from segtune.vocabulary.templates import read_templates
from tests.engine.worlds import CAPTIONS, VOCABULARY, GridProposals, dataset, stage

LEXICON = Lexicon(VOCABULARY)
ALL = MineConfig(captions=None)


@pytest.fixture(autouse=True)
def shards_of_two(monkeypatch):
    monkeypatch.setattr(divided, "__defaults__", (2,))


def lexicon():
    return LEXICON


def run(out, config=ALL, build=stage, extractor=lexicon, **options):
    return mine(dataset(), build, extractor, out=out, config=config, progress=False, **options)


def parts(out):
    """Name and content of the files of all shards, but for how long they took."""
    found = {}
    for path in sorted(work_folder(out).rglob("*.parquet")):
        table = parquet.read_table(path)
        key = (table.schema.metadata or {})[b"segtune.key"]
        found[str(path.relative_to(work_folder(out)))] = (key, table.to_pylist())
    return found


def test_pairs_are_the_arg_max_of_every_noun(tmp_path):
    out = tmp_path / "pairs.jsonl"
    mined = run(out)
    pairs = list(read_pairs(out))
    expected = [("0", "red", 0), ("0", "green", 0), ("0", "blue", 1), ("1", "green", 0)]
    expected += [("1", "blue", 0), ("4", "red", 0), ("4", "blue", 0)]
    assert [(pair.id, pair.text, pair.caption) for pair in pairs] == expected
    look = stage()
    clip = look.clip
    for pair in pairs:
        regions = look(int(pair.id)).regions
        text = clip.encode_text(clip.tokenize([f"a photo of a {pair.text}."])).detach().numpy()[0]
        scores = regions.embeds.astype(np.float32) @ (text / np.linalg.norm(text))
        assert pair.rle == regions.rles[int(scores.argmax())]
        assert pair.score == pytest.approx(float(scores.max()), abs=2e-3)
        assert pair.mask().sum() == regions.areas_px[int(scores.argmax())]
    entries = list(mined.entries)
    assert [entry.index for entry in entries] == list(range(len(CAPTIONS)))
    for entry in entries:
        semantic = dataset()[entry.index].semantic
        for pair, given in zip(entry.pairs, entry.verdicts, strict=True):
            concept = VOCABULARY.concepts[int(semantic[pair.mask()].max())]
            assert given == verdict(pair.noun, concept)


class Seen:
    """Builds stages that note what they look at."""

    def __init__(self):
        self.indices = []

    def __call__(self):
        look = stage()
        call = look.__class__.__call__
        look.__class__ = type("Noted", (look.__class__,), {})
        look.__class__.__call__ = lambda own, i: (self.indices.append(i), call(own, i))[1]
        return look


@pytest.mark.parametrize("done", range(4))
def test_an_interrupted_run_goes_on_to_the_same_file(tmp_path, done):
    out, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(out)
    shutil.copytree(work_folder(out), work_folder(other))
    for name in ("regions", "match"):
        for number in range(done, 3):
            (work_folder(other) / name / f"{number:05d}.parquet").unlink()
    seen = Seen()
    mined = run(other, build=seen)
    assert (mined.resumed, seen.indices) == (min(2 * done, 5), list(range(2 * done, 5)))
    assert other.read_bytes() == out.read_bytes()
    assert parts(other) == parts(out)
    finish(mined)
    assert not work_folder(other).exists()


def test_a_half_written_or_foreign_shard_is_made_again(tmp_path):
    out = tmp_path / "a.jsonl"
    run(out)
    whole, known = out.read_bytes(), parts(out)
    folder = work_folder(out) / "regions"
    (folder / "00000.parquet").write_bytes((folder / "00000.parquet").read_bytes()[:-40])
    (folder / "00001.parquet").write_bytes((folder / "00002.parquet").read_bytes())
    seen = Seen()
    run(out, build=seen)
    assert seen.indices == [0, 1, 2, 3]
    assert (out.read_bytes(), parts(out)) == (whole, known)


def test_an_error_in_the_middle_loses_nothing(tmp_path):
    out, whole = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(whole)

    class Breaks:
        calls = 0

        def __call__(self, captions):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return LEXICON(captions)

    with pytest.raises(KeyboardInterrupt):
        run(out, extractor=Breaks)
    assert not out.exists()
    assert len(parts(out)) == 1
    run(out)
    assert out.read_bytes() == whole.read_bytes()


def test_other_settings_rerun_what_depends_on_them_and_nothing_else(tmp_path):
    def made(**options):
        path = work_folder(out) / "manifest.jsonl"
        before = len(path.read_text().splitlines()) if path.exists() else 0
        run(out, **options)
        lines = [json.loads(line) for line in path.read_text().splitlines()[before:]]
        return sorted({line["stage"] for line in lines})

    out = tmp_path / "a.jsonl"
    assert made() == ["match", "nouns", "phrases", "regions"]
    assert made() == []
    assert made(config=replace(ALL, filters=Filters(top=1))) == ["match"]
    assert made(config=replace(ALL, filters=Filters(per_noun=1))) == ["match"]
    assert made() == []
    assert made(describe={"nouns": "other"}) == ["match", "nouns", "phrases"]
    changed = replace(ALL, templates=read_templates("vild_14"))
    assert made(config=changed, describe={"nouns": "other"}) == ["match", "phrases"]


def test_filters_count_over_images(tmp_path):
    def texts(**filters):
        out = tmp_path / f"{filters}.jsonl"
        run(out, config=replace(ALL, filters=Filters(**filters)))
        return [(pair.id, pair.text) for pair in read_pairs(out)]

    everything = texts()
    assert texts(per_noun=1) == everything[:3]
    assert len(texts(top=1)) == 3
    assert texts(min_area=1.0) == []


@pytest.mark.slow
def test_two_processes_give_the_files_of_one(tmp_path):
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(one)
    run(two, runner=LocalRunner(2))
    assert one.read_bytes() == two.read_bytes()
    assert parts(one) == parts(two)


def test_regions_on_disk_are_not_embedded_again(tmp_path, monkeypatch):
    build = partial(stage, cache=tmp_path / "regions")
    out, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(out, build=build)
    assert len(list((tmp_path / "regions").rglob("*.npz"))) == len(CAPTIONS)

    def forbidden(*_):
        raise AssertionError("an image was embedded again")

    monkeypatch.setattr("segtune.engine.stage.embed_regions", forbidden)
    run(other, build=build)
    assert other.read_bytes() == out.read_bytes()
    assert RegionCache(tmp_path / "regions").folder


def test_proposals_instead_of_labels(tmp_path):
    model = GridProposals()
    build = partial(stage, ProposedMasks(model, short_side=32))
    mined = run(tmp_path / "a.jsonl", build=build)
    pairs = [pair for entry in mined.entries for pair in entry.pairs]
    assert {pair.source for pair in pairs} == {"grid"}
    assert all(entry.regions == 4 for entry in mined.entries)  # the fifth is empty
    assert model.calls == len(CAPTIONS)


def test_statistics_by_hand(tmp_path):
    mined = run(tmp_path / "a.jsonl")
    found = statistics_of(mined.entries)
    assert (found.images, found.images_with_pairs, found.nouns, found.pairs) == (5, 3, 7, 7)
    assert found.regions == 4 * 3 + 2
    assert found.top_nouns == (("blue", 3), ("green", 2), ("red", 2))
    assert found.unique_nouns == 3
    assert found.pairs_per_image == 7 / 5
    scores = [pair.score for entry in mined.entries for pair in entry.pairs]
    assert found.scores["0.5"] == pytest.approx(float(np.median(scores)), abs=1e-4)
    right = sum(v == "right" for entry in mined.entries for v in entry.verdicts)
    assert found.precision.exact == right / 7
    empty = statistics_of([])
    assert (empty.pairs_per_image, empty.scores, empty.precision) == (0.0, {}, None)
    assert empty.values()["pairs"] == 0
