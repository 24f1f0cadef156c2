"""Words against single pixels, and which classes may be learned."""

import pytest
import torch
from torch import nn

from segtune.trainers.bundled.scenes.dense_words import pixel_loss, seen_classes
from segtune.types import Concept, Vocabulary


def test_the_loss_against_cells_by_hand() -> None:
    """One labelled cell per image: it is the only one that can be drawn."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 6, 4, 4, generator=generator)
    words = torch.nn.functional.normalize(torch.randn(7, 5, generator=generator), dim=-1)
    head = nn.Linear(6, 5)
    labels = torch.full((2, 16, 16), -1)
    labels[0, 4:8, 8:12] = 3  # cell (1, 2)
    labels[1, 12:, :4] = 5  # cell (3, 0)
    found = pixel_loss(features, labels, head, words, pixels_per_image=4)
    expected = 0.0
    for image, (row, column), word in ((0, (1, 2), 3), (1, (3, 0), 5)):
        embed = head(features[image, :, row, column])
        logits = 20 * torch.nn.functional.normalize(embed, dim=0) @ words.T
        expected -= logits.log_softmax(0)[word].item() / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_without_labels_it_is_zero_and_still_has_a_graph() -> None:
    features = torch.randn(1, 4, 2, 2, requires_grad=True)
    labels = torch.full((1, 8, 8), -1)
    loss = pixel_loss(features, labels, nn.Linear(4, 3), torch.eye(3), pixels_per_image=2)
    loss.backward()
    assert loss.item() == 0
    assert features.grad is not None


def test_seen_classes_leaves_out_the_unseen_ones() -> None:
    vocabulary = Vocabulary(
        (Concept("a", group="seen"), Concept("b", group="unseen"), Concept("c")), name="three"
    )
    class_ids, seen = seen_classes(vocabulary)
    assert class_ids == [0, 2]
    assert [concept.name for concept in seen] == ["a", "c"]
