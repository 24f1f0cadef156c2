import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from segtune.data.synthetic import SyntheticDataset, compositions
from segtune.trainers.bundled.clip import evaluate as evaluate_clip
from segtune.trainers.bundled.clip.captions import concept_names
from segtune.trainers.bundled.clip.evaluate import class_embeddings, crop_accuracy, dense_miou, main
from segtune.trainers.bundled.clip.model import encode_texts, export_clip


def test_class_embeddings_are_the_mean_of_unit_vectors(
    tiny_clip: CLIPModel, tiny_tokenizer: CLIPTokenizer
) -> None:
    found = class_embeddings(tiny_clip, tiny_tokenizer, ["star", "ring"], ["{}", "a {}"])
    with torch.inference_mode():
        parts = [
            F.normalize(encode_texts(tiny_clip, tiny_tokenizer, [text])[0], dim=-1)
            for text in ("ring", "a ring")
        ]
    expected = F.normalize(parts[0] + parts[1], dim=-1)
    torch.testing.assert_close(found[1], expected, atol=1e-5, rtol=1e-4)


def test_crop_accuracy_of_perfect_and_constant_answers(
    tiny_clip: CLIPModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    things = compositions()
    monkeypatch.setattr(evaluate_clip, "render_crop", blank_crop)
    count = len(things)
    texts, answers = torch.eye(count), torch.eye(count)
    parts = iter(answers.split(128))
    monkeypatch.setattr(evaluate_clip, "encode_images", lambda *_: (next(parts), None))
    score = crop_accuracy(tiny_clip, texts, seed=0, crops_per_composition=1)
    assert score == {"seen": 1.0, "unseen": 1.0}

    monkeypatch.setattr(evaluate_clip, "encode_images", lambda _, x: (texts[:1].repeat(len(x), 1),))
    score = crop_accuracy(tiny_clip, texts, seed=0, crops_per_composition=1)
    num_seen = sum(not thing.is_unseen for thing in things)
    assert score == pytest.approx({"seen": 1 / num_seen, "unseen": 0.0})


def test_dense_miou_of_the_truth_is_one(
    tiny_clip: CLIPModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = SyntheticDataset("base", "val", size=(64, 64), length=2)
    truths = iter([dataset[i].semantic for i in range(2)])

    def perfect(*_: object) -> tuple[None, torch.Tensor]:
        truth = next(truths)
        assert truth is not None
        return None, F.one_hot(torch.from_numpy(truth).long(), 390)[None].float()

    monkeypatch.setattr(evaluate_clip, "encode_images", perfect)
    score = dense_miou(tiny_clip, torch.eye(390), num_scenes=2, size=64)
    assert set(score) == {"pixel_accuracy", "seen", "unseen", "stuff", "all"}
    assert all(value == 1.0 for value in score.values())


def test_the_command_prints_and_writes(
    tiny_clip: CLIPModel,
    tiny_tokenizer: CLIPTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    export_clip(tiny_clip, tiny_tokenizer, tmp_path / "clip")
    monkeypatch.setattr(evaluate_clip, "render_crop", blank_crop)
    file = tmp_path / "scores.json"
    main([str(tmp_path / "clip"), "--seeds", "0", "--scenes", "1", "--json", str(file)])
    printed = capsys.readouterr().out
    assert "synthetic:base" in printed
    assert "mIoU" in printed
    scores = json.loads(file.read_text())
    assert set(scores) == {"crops_plain", "crops_templates", "dense"}
    assert 0 <= scores["crops_plain"]["unseen_mean"] <= 1


def test_concepts_line_up_with_the_dataset() -> None:
    assert concept_names() == SyntheticDataset("base", "val").vocabulary.names


def blank_crop(thing: object, rng: np.random.Generator, *, size: int) -> np.ndarray:
    return np.zeros((size, size, 3), dtype=np.uint8)
