import pytest

from segtune.errors import SegtuneError
from segtune.vocabulary.builtin import builtin, builtin_names, category_ids, describe


@pytest.mark.parametrize("name", builtin_names())
def test_every_list(name: str) -> None:
    vocabulary = builtin(name)
    assert vocabulary.name == name
    assert len(vocabulary) == int(name.split("_")[-1])
    assert len(category_ids(name)) == len(set(category_ids(name))) == len(vocabulary)
    assert all(word == word.strip() for concept in vocabulary for word in concept.names)
    assert describe(name)


@pytest.mark.parametrize(
    ("name", "things", "at"),
    [
        ("coco_stuff_171", 80, {0: "person", 80: "banner", 160: "wall-concrete", 170: "wood"}),
        ("coco_80", 80, {0: "person", 79: "toothbrush"}),
        ("coco_133", 80, {79: "toothbrush", 80: "banner", 132: "rug-merged"}),
        ("ade20k_150", 100, {6: "road", 12: "person", 149: "flag"}),
        ("ade20k_847", None, {0: "wall", 4: "road"}),
        ("voc_20", 20, {0: "aeroplane", 15: "pottedplant", 19: "tvmonitor"}),
        ("voc_21", 20, {0: "background", 20: "tvmonitor"}),
        ("context_59", None, {10: "table", 58: "wood"}),
        ("context_60", None, {0: "background", 1: "aeroplane", 59: "wood"}),
        ("context_459", None, {430: "unknown"}),
        ("cityscapes_19", 8, {0: "road", 11: "person", 18: "bicycle"}),
        ("camvid_11", 3, {0: "sky", 10: "bicyclist"}),
    ],
)
def test_known_facts(name: str, things: int | None, at: dict[int, str]) -> None:
    vocabulary = builtin(name)
    assert {i: vocabulary.names[i] for i in at} == at
    if things is not None:
        assert sum(concept.kind == "thing" for concept in vocabulary) == things


def test_official_ids() -> None:
    assert category_ids("coco_80")[-1] == 90
    assert category_ids("coco_133")[-1] == 200
    assert category_ids("cityscapes_19") == (
        *(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
    )
    assert category_ids("voc_20") == tuple(range(20))
    assert category_ids("ade20k_847")[:3] == (2978, 312, 2420)


def test_context_lists_have_the_same_words() -> None:
    assert set(builtin("context_60").names) == {"background", *builtin("context_59").names}


def test_commas_become_synonyms() -> None:
    ade = builtin("ade20k_150")
    assert ade.concepts[6].names == ("road", "route")
    joined = builtin("ade20k_150", names="joined")
    assert joined.concepts[6].names == ("road, route",)
    assert joined.name == "ade20k_150, joined"


def test_repeated_first_words_make_way_for_a_synonym() -> None:
    by_name = {concept.name: concept for concept in builtin("ade20k_847")}
    assert by_name["pot"].synonyms == ()
    assert by_name["flowerpot"].synonyms == ("pot",)
    assert by_name["basketball hoop"].synonyms == ("basket", "hoop")
    joined = builtin("ade20k_847", names="joined")
    assert "basket, basketball hoop, hoop" in joined.names
    assert "pot, flowerpot" in joined.names


def test_217_names_of_ade20k_have_commas() -> None:
    joined, pooled = builtin("ade20k_847", names="joined"), builtin("ade20k_847")
    assert sum("," in name for name in joined.names) == 217
    for one, several in zip(joined, pooled, strict=True):
        assert set(one.name.split(", ")) == set(several.names)


def test_readable_names_differ_where_the_data_set_writes_in_code() -> None:
    assert builtin("voc_20", names="readable").names[10] == "dining table"
    readable, raw = builtin("coco_stuff_171", names="readable").names, builtin("coco_stuff_171")
    assert not any("-" in name for name in readable)
    changed = {b: a for a, b in zip(readable, raw.names, strict=True) if a != b}
    assert changed["sky-other"] == "sky"
    assert changed["wall-concrete"] == "concrete wall"
    assert readable.count("table") == 1
    assert builtin("ade20k_150", names="readable").names == builtin("ade20k_150").names


def test_unknown_style_of_names() -> None:
    with pytest.raises(SegtuneError, match="use synonyms, joined, readable"):
        builtin("voc_20", names="nice")  # type: ignore[arg-type]


def test_unknown_name() -> None:
    with pytest.raises(
        SegtuneError, match="'cityscape' is not a built-in vocabulary; did you mean"
    ):
        builtin("cityscape")
    with pytest.raises(SegtuneError, match="known: ade20k_150"):
        builtin("zzz")
