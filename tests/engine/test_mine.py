"""The whole line on toy data: against an obvious version, interrupted, in one process and two."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from segtune.data.pairs import read_pairs
from segtune.engine.judge import verdict
from segtune.engine.masks import ProposedMasks
from segtune.engine.match import Filters
from segtune.engine.mine import MineConfig, finish, log_path, mine
from segtune.engine.regions import RegionCache
from segtune.engine.stage import look_at
from segtune.engine.statistics import statistics_of
from segtune.errors import SegtuneError
from segtune.vocabulary.nouns.lexicon import Lexicon
from tests.engine.worlds import CAPTIONS, VOCABULARY, GridProposals, dataset, stage

LEXICON = Lexicon(VOCABULARY)
ALL = MineConfig(captions=None)


def run(out, config=ALL, build=stage, **options):
    return mine(dataset(), build, LEXICON, out=out, config=config, progress=False, **options)


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
    entries = list(mined.log)
    assert [entry.index for entry in entries] == list(range(len(CAPTIONS)))
    for entry in entries:
        semantic = dataset()[entry.index].semantic
        for pair, given in zip(entry.pairs, entry.verdicts, strict=True):
            concept = VOCABULARY.concepts[int(semantic[pair.mask()].max())]
            assert given == verdict(pair.noun, concept)


@pytest.mark.parametrize("done", range(len(CAPTIONS) + 1))
def test_an_interrupted_run_goes_on_to_the_same_file(tmp_path, done):
    out, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(out)
    lines = log_path(out).read_bytes().splitlines(keepends=True)
    log_path(other).write_bytes(b"".join(lines[: 1 + done]) + b'{"index": 9, "pai')
    seen = []

    def build():
        look = stage()
        call = look.__class__.__call__
        look.__class__ = type("Seen", (look.__class__,), {})
        look.__class__.__call__ = lambda self, i: (seen.append(i), call(self, i))[1]
        return look

    mined = run(other, build=build)
    assert (mined.resumed, seen) == (done, list(range(done, len(CAPTIONS))))
    assert other.read_bytes() == out.read_bytes()
    assert log_path(other).read_bytes() == log_path(out).read_bytes()
    finish(mined)
    assert not log_path(other).exists()


def test_an_error_in_the_middle_loses_nothing(tmp_path):
    out, whole = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(whole)

    class Breaks:
        calls = 0

        def __call__(self, captions):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(dataset(), stage, Breaks(), out=out, config=ALL, progress=False)
    assert not out.exists()
    run(out)
    assert out.read_bytes() == whole.read_bytes()


def test_other_settings_do_not_go_on(tmp_path):
    out = tmp_path / "a.jsonl"
    run(out)
    with pytest.raises(SegtuneError, match=r"other settings \(captions, filters\)"):
        run(out, config=MineConfig(filters=Filters(top=1)))
    with pytest.raises(SegtuneError, match=r"other settings \(nouns\)"):
        run(out, describe={"nouns": "rules"})


def test_filters_count_over_images(tmp_path):
    def texts(**filters):
        out = tmp_path / f"{filters}.jsonl"
        run(out, config=replace(ALL, filters=Filters(**filters)))
        return [(pair.id, pair.text) for pair in read_pairs(out)]

    everything = texts()
    assert texts(per_noun=1) == everything[:3]
    assert len(texts(top=1)) == 3
    assert texts(min_area=1.0) == []


def test_the_cap_of_a_noun_survives_an_interruption(tmp_path):
    capped = replace(ALL, filters=Filters(per_noun=1))
    out, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(out, config=capped)
    lines = log_path(out).read_bytes().splitlines(keepends=True)
    log_path(other).write_bytes(b"".join(lines[:2]))
    run(other, config=capped)
    assert other.read_bytes() == out.read_bytes()


@pytest.mark.slow
def test_two_processes_give_the_order_and_the_file_of_one(tmp_path):
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(one)
    run(two, workers=2)
    assert [(p.id, p.text, p.rle) for p in read_pairs(one)] == [
        (p.id, p.text, p.rle) for p in read_pairs(two)
    ]
    assert one.read_bytes() == two.read_bytes()


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
    pairs = [pair for entry in mined.log for pair in entry.pairs]
    assert {pair.source for pair in pairs} == {"grid"}
    assert all(entry.regions == 4 for entry in mined.log)  # the fifth is empty
    assert model.calls == len(CAPTIONS)


def test_look_at_keeps_the_order():
    assert [image.index for image in look_at(range(1, 5), stage)] == [1, 2, 3, 4]
    assert list(look_at(range(0), stage, workers=2)) == []


def test_statistics_by_hand(tmp_path):
    mined = run(tmp_path / "a.jsonl")
    found = statistics_of(mined.log)
    assert (found.images, found.images_with_pairs, found.nouns, found.pairs) == (5, 3, 7, 7)
    assert found.regions == 4 * 3 + 2
    assert found.top_nouns == (("blue", 3), ("green", 2), ("red", 2))
    assert found.unique_nouns == 3
    assert found.pairs_per_image == 7 / 5
    scores = [pair.score for entry in mined.log for pair in entry.pairs]
    assert found.scores["0.5"] == pytest.approx(float(np.median(scores)), abs=1e-4)
    right = sum(v == "right" for entry in mined.log for v in entry.verdicts)
    assert found.precision.exact == right / 7
    empty = statistics_of([])
    assert (empty.pairs_per_image, empty.scores, empty.precision) == (0.0, {}, None)
    assert empty.values()["pairs"] == 0
