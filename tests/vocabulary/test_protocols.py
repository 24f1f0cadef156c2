import pytest

from segtune.errors import SegtuneError
from segtune.vocabulary.builtin import builtin
from segtune.vocabulary.protocols import protocol_names, zero_shot


@pytest.mark.parametrize(
    ("name", "source", "seen", "unseen"),
    [
        ("voc15-5", "voc_20", 15, 5),
        ("coco156-15", "coco_stuff_171", 156, 15),
        ("context50-10", "context_60", 50, 10),
        ("context49-10", "context_59", 49, 10),
        ("ade572-275", "ade20k_847", 572, 275),
    ],
)
def test_split(name: str, source: str, seen: int, unseen: int) -> None:
    vocabulary = zero_shot(name)
    assert vocabulary.name == name
    assert vocabulary.names == builtin(source).names
    assert len(vocabulary.ids_in("seen")) == seen
    assert len(vocabulary.ids_in("unseen")) == unseen
    assert name in protocol_names()


def test_unseen_classes_as_the_specification_lists_them() -> None:
    context = zero_shot("context50-10")
    assert context.ids_in("unseen") == (1, 7, 8, 15, 20, 25, 32, 34, 49, 55)
    coco = zero_shot("coco156-15")
    unseen = coco.subset(coco.ids_in("unseen")).names
    assert unseen[:3] == ("cow", "giraffe", "suitcase")
    assert unseen[-3:] == ("road", "tree", "wall-concrete")


def test_unknown_protocol() -> None:
    with pytest.raises(SegtuneError, match="'voc15' is not a zero-shot protocol; did you mean"):
        zero_shot("voc15")
