"""What is said after a fit: words without images, and how to lose less."""

from segtune.systems.ssprompt.advice import on_classes, on_loss
from segtune.types import Vocabulary


class Fitted:
    vocabulary = Vocabulary.of("cat", "dog", "cow")

    def __init__(self, *classes, semantic="embeddings", task="semantic", **others):
        self.options = {"classes": classes, "semantic": semantic, "task": task, **others}


def test_words_that_no_image_shows_are_counted():
    assert on_classes(Fitted("cat", "cow")).startswith("the images show 2 of 3 words;")
    assert on_classes(Fitted("cat", "cow", "dog")) == ""
    assert on_classes(Fitted("cat", semantic="context")) == ""  # no row per class
    assert on_classes(Fitted("cat", task="instance")) == ""  # the others may be stuff


def test_only_learned_queries_can_be_kept_apart():
    learned = {"spatial": "embeddings", "retain": "shared"}
    assert "--set retain=exact" in on_loss(Fitted(**learned))
    for other in ({"retain": "exact"}, {"spatial": "default"}, {"spatial": "points"}):
        assert on_loss(Fitted(**learned | other)) == ""
