"""What is left out of a data set is counted by reason and reaches through views of it."""

from pathlib import Path

from segtune.data.checks.left_out import Found, LeftOut, left_out_of, sentences
from segtune.data.samples import IndexedDataset, Record, SomeClasses, Subset
from segtune.types import Sample, Vocabulary


def test_left_out_reaches_through_views() -> None:
    records = Found.of([Record("a", Path("a.jpg"))], [LeftOut("b.jpg", "no label map")])
    dataset = IndexedDataset(
        "x", "all", Vocabulary.of("a", "b"), records, lambda r: Sample("a", r.image)
    )
    assert left_out_of(dataset) == (LeftOut("b.jpg", "no label map"),)
    assert left_out_of(SomeClasses(Subset(dataset, [0]), [1])) == left_out_of(dataset)
    plain = IndexedDataset("x", "all", Vocabulary.of("a"), list(records), dataset.load)
    assert left_out_of(plain) == ()


def test_sentences_by_reason() -> None:
    some = [LeftOut("a", "x"), LeftOut("b", "y"), LeftOut("c", "x")]
    assert sentences(some) == ["2 left out, x: a, c", "1 left out, y: b"]
    assert sentences([]) == []
