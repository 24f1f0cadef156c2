"""SAM 3: the same masks as `transformers`, for many classes at once, with learnable prompts."""

from types import SimpleNamespace

import pytest
import torch
from transformers.models.sam3 import modeling_sam3

from segtune.backbones.sam.random import random_sam3
from segtune.backbones.sam.sam3 import ConceptMasks
from segtune.errors import SegtuneError, WeightsError
from tests.conftest import LetterTokenizer
from tests.ops.test_boxes import _slow_roi_align

WORDS = ["car", "tree", "a red bus"]


@pytest.fixture
def sam():
    sam = random_sam3()
    sam.tokenizer = LetterTokenizer()
    return sam


def _pixels(batch=2, size=(40, 60)):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0)) * 255


def _forward(sam, pixels, word, **boxes):
    """The plain model for one image and one word, through token ids."""
    ids = torch.tensor([LetterTokenizer()(word)["input_ids"]])
    with torch.no_grad():
        return sam.model(
            sam.preprocess(pixels), input_ids=ids, attention_mask=torch.ones_like(ids), **boxes
        )


def _close(found: ConceptMasks, b, k, expected):
    for ours, theirs in (
        (found.mask_logits, expected.pred_masks),
        (found.score_logits, expected.pred_logits),
        (found.presence_logits, expected.presence_logits[:, 0]),
        (found.semantic_logits, expected.semantic_seg[:, 0]),
        (found.boxes_norm, expected.pred_boxes),
    ):
        assert torch.allclose(ours[b, k], theirs[0], atol=1e-5)


@pytest.mark.parametrize("size", [(40, 60), (97, 33)])
@pytest.mark.parametrize("chunk", [1, 2, 8])
def test_decode_equals_forward(sam, size, chunk):
    pixels = _pixels(size=size)
    text, mask = sam.text_sequences(WORDS)
    found = sam.decode(sam.features(pixels), text, mask, chunk=chunk)
    assert found.mask_logits.shape == (2, 3, 6, 16, 16)
    assert found.scores.shape == (2, 3, 6)
    for b in range(2):
        for k, word in enumerate(WORDS):
            _close(found, b, k, _forward(sam, pixels[b : b + 1], word))


def test_own_queries_change_nothing(sam):
    features, (text, mask) = sam.features(_pixels()), sam.text_sequences(WORDS)
    plain = sam.decode(features, text, mask)
    given = sam.decode(
        features,
        text,
        mask,
        query_content=sam.query_content.clone(),
        reference_points=sam.reference_points.clone(),
    )
    assert torch.equal(given.mask_logits, plain.mask_logits)
    fewer = sam.decode(
        features,
        text,
        mask,
        query_content=sam.query_content[:4],
        reference_points=sam.reference_points[:4],
    )
    assert fewer.scores.shape == (2, 3, 4)
    assert len(sam.query_content) == 6  # the model is as it was


def test_gradients_reach_prompts_only(sam):
    features, (text, mask) = sam.features(_pixels(1)), sam.text_sequences(WORDS)
    prompts = [text, sam.query_content.clone(), sam.reference_points.clone()]
    prompts = [prompt.detach().requires_grad_() for prompt in prompts]
    found = sam.decode(
        features, prompts[0], mask, query_content=prompts[1], reference_points=prompts[2]
    )
    gradients = torch.autograd.grad(found.pixel_scores("sum").sum(), prompts)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert not gradients[0][~mask].any()  # padding
    assert not any(parameter.requires_grad for parameter in sam.parameters())


def test_text_sequences(sam):
    text, mask = sam.text_sequences(WORDS)
    assert text.shape == (3, 11, sam.width)
    assert mask.sum(1).tolist() == [5, 6, 11]
    alone, _ = sam.text_sequences(["car"])
    assert torch.allclose(text[0, :5], alone[0], atol=1e-6)  # padding changes nothing
    assert not text.requires_grad


def test_without_a_mask_all_tokens_are_real(sam):
    features, (text, mask) = sam.features(_pixels(1)), sam.text_sequences(["car", "bus"])
    assert mask.all()
    masked, free = sam.decode(features, text, mask), sam.decode(features, text)
    assert torch.equal(masked.mask_logits, free.mask_logits)


def test_box_tokens_equal_forward(sam, monkeypatch):
    def slow_roi_align(features, boxes, size):
        rows = [
            torch.stack([_slow_roi_align(p, b, (size, size), 1.0, -1, False) for p in image])
            for image, own in zip(features, boxes, strict=True)
            for b in own
        ]
        return torch.stack(rows)

    stand_in = SimpleNamespace(ops=SimpleNamespace(roi_align=slow_roi_align))
    monkeypatch.setattr(modeling_sam3, "torchvision", stand_in, raising=False)
    pixels = _pixels()
    boxes = torch.tensor([[[0.1, 0.2, 0.6, 0.9], [0.0, 0.0, 1.0, 1.0]]]).repeat(2, 1, 1)
    boxes[1] *= 0.7
    labels = torch.tensor([[1, 0], [1, 1]])
    features, (text, mask) = sam.features(pixels), sam.text_sequences(WORDS)
    examples = sam.box_tokens(features, boxes, labels)
    assert examples.shape == (2, 3, sam.width)
    found = sam.decode(features, text, mask, box_tokens=examples)
    cxcywh = torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)
    for b in range(2):
        for k, word in enumerate(WORDS):
            one = {"input_boxes": cxcywh[b : b + 1], "input_boxes_labels": labels[b : b + 1]}
            _close(found, b, k, _forward(sam, pixels[b : b + 1], word, **one))


def test_no_boxes_leave_the_summary_token(sam):
    features = sam.features(_pixels())
    assert sam.box_tokens(features, torch.zeros(2, 0, 4)).shape == (2, 1, sam.width)


def test_pixel_scores():
    found = ConceptMasks(
        mask_logits=torch.tensor([0.0, 100.0]).reshape(1, 1, 2, 1, 1),
        score_logits=torch.tensor([[[100.0, 0.0]]]),
        presence_logits=torch.tensor([[0.0]]),
        semantic_logits=torch.zeros(1, 1, 1, 1),
        boxes_norm=torch.zeros(1, 1, 2, 4),
    )
    assert found.scores.tolist() == [[[0.5, 0.25]]]
    assert found.pixel_scores("max").item() == pytest.approx(0.25)
    assert found.pixel_scores("sum").item() == pytest.approx(0.5)


def test_chunks_are_the_classes_in_order(sam):
    features, (text, mask) = sam.features(_pixels()), sam.text_sequences(WORDS)
    parts = list(sam.decode_chunks(features, text, mask, chunk=2))
    assert [part.scores.shape[1] for part in parts] == [2, 1]
    whole = sam.decode(features, text, mask).pixel_scores()
    assert torch.allclose(torch.cat([p.pixel_scores() for p in parts], 1), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sam, f: sam.text_sequences([]), "no words"),
        (lambda sam, f: sam.text_sequences(["x" * 40]), "42 tokens long"),
        (lambda sam, f: sam.decode(f, torch.zeros(2, 3, 7)), r"needs \(K, L, 32\)"),
        (lambda sam, f: sam.decode(f, torch.zeros(0, 3, 32)), r"needs \(K, L, 32\)"),
        (
            lambda sam, f: sam.decode(f, torch.zeros(2, 3, 32), torch.ones(2, 4).bool()),
            r"and \(K, L\)",
        ),
        (
            lambda sam, f: sam.decode(f, torch.zeros(2, 3, 32), query_content=torch.zeros(4, 32)),
            "differ in length",
        ),
    ],
)
def test_bad_input(sam, call, message):
    with pytest.raises(SegtuneError, match=message):
        call(sam, sam.features(_pixels(1)))


def test_words_need_a_tokenizer():
    with pytest.raises(WeightsError, match="no tokenizer"):
        random_sam3().text_sequences(["car"])


def test_stays_frozen(sam):
    assert not any(module.training for module in sam.train().modules())
