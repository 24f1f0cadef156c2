"""The groups and the shared classes."""

from segtune.data.lvis_ow.classes import COCO_NAMES, COCO_TO_LVIS, KNOWN, NAMES, RARE, SEEN
from tests.data.lvis_ow.sources import AEROSOL, AXE, BANNER, PERSON


def test_every_class_is_in_one_group() -> None:
    assert [len(group) for group in (KNOWN, SEEN, RARE)] == [123, 743, 337]
    assert KNOWN | SEEN | RARE == NAMES.keys() == set(range(1, 1204))


def test_shared_classes() -> None:
    assert len(COCO_TO_LVIS) == len(set(COCO_TO_LVIS.values())) == 79
    assert set(COCO_TO_LVIS.values()) <= KNOWN
    assert COCO_NAMES.keys() - COCO_TO_LVIS.keys() == {58}
    assert COCO_NAMES[58] == "hot dog"
    pairs = {COCO_NAMES[coco]: NAMES[lvis] for coco, lvis in COCO_TO_LVIS.items()}
    assert pairs["person"] == "person"
    assert pairs["tv"] == "television_set"
    assert pairs["hair drier"] == "hair_dryer"


def test_classes_of_the_tests() -> None:
    names = [NAMES[i] for i in (PERSON, AEROSOL, AXE, BANNER)]
    assert names == ["person", "aerosol_can", "ax", "banner"]
    assert PERSON in KNOWN & set(COCO_TO_LVIS.values())
    assert BANNER in KNOWN - set(COCO_TO_LVIS.values())
    assert AEROSOL in SEEN
    assert AXE in RARE
