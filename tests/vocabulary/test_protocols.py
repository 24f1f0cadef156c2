from dataclasses import replace

import pytest

from segtune.data.formats import layouts
from segtune.errors import SegtuneError
from segtune.systems import SYSTEMS
from segtune.systems.options import checked
from segtune.systems.ovseg.config import PRESETS, OVSegConfig
from segtune.vocabulary.builtin import NameStyle, builtin
from segtune.vocabulary.parse import parse_vocabulary
from segtune.vocabulary.protocols import find_protocol, protocol_names, seen_first, zero_shot


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
    assert zero_shot(name, "unseen").names == vocabulary.subset(vocabulary.ids_in("unseen")).names


def test_unseen_classes_as_the_specification_lists_them() -> None:
    context = zero_shot("context50-10")
    assert context.ids_in("unseen") == (1, 7, 8, 15, 20, 25, 32, 34, 49, 55)
    coco = zero_shot("coco156-15")
    unseen = coco.subset(coco.ids_in("unseen")).names
    assert unseen[:3] == ("cow", "giraffe", "suitcase")
    assert unseen[-3:] == ("road", "tree", "wall-concrete")


@pytest.mark.parametrize(
    ("name", "num_classes"),
    [
        ("A-150", 150),
        ("A-847", 847),
        ("PC-59", 59),
        ("PC-459", 459),
        ("PAS-20", 20),
        ("PAS-20b", 21),
        ("PAS-21", 21),
        ("COCO-Stuff-171", 171),
        ("Cityscapes-19", 19),
    ],
)
def test_benchmarks(name: str, num_classes: int) -> None:
    protocol = find_protocol(name)
    assert len(protocol.classes()) == num_classes
    assert protocol.classes() == builtin(protocol.scored)
    assert protocol.layout in {layout.name for layout in layouts()}
    for typed in (name.lower(), name.replace("-", ""), name.replace("-", "_").upper()):
        assert find_protocol(typed) is protocol
        assert parse_vocabulary(typed) == protocol.words()


def test_pc459_scores_the_class_unknown() -> None:
    protocol = find_protocol("PC-459")
    counts_as = protocol.scoring_map()
    assert counts_as.is_one_to_one
    assert counts_as.classes.names[430] == counts_as.words.names[430] == "unknown"


def test_pas20b_counts_words_that_voc_lacks_as_background() -> None:
    counts_as = find_protocol("PAS-20b").scoring_map()
    context, voc = builtin("context_59"), builtin("voc_21")
    assert (counts_as.words, counts_as.classes) == (context, voc)
    # The VOC classes come first in the list of Context, in the order of VOC.
    assert counts_as.class_ids == (*range(1, 21), *[0] * 39)
    assert voc.names[counts_as.class_ids[context.index("table")]] == "diningtable"


@pytest.mark.parametrize("style", ["joined", "readable"])
def test_words_may_be_called_otherwise(style: NameStyle) -> None:
    for name in protocol_names():
        protocol = find_protocol(name)
        plain, styled = protocol.scoring_map(), protocol.scoring_map(style)
        assert styled.class_ids == plain.class_ids
        assert styled.classes == plain.classes
        groups = [concept.group for concept in styled.words]
        assert groups == [concept.group for concept in plain.words]
    joined = find_protocol("ade572-275").words("joined")
    assert joined.name == "ade572-275, joined"
    assert joined.names[8] == "sidewalk, pavement"


def test_one_group_as_a_vocabulary() -> None:
    seen, unseen = parse_vocabulary("coco156-15:seen"), parse_vocabulary("coco156-15:unseen")
    assert (len(seen), len(unseen)) == (156, 15)
    assert set(seen.names) | set(unseen.names) == set(builtin("coco_stuff_171").names)
    assert seen.name == "coco156-15:seen"
    assert not seen.ids_in("seen")
    with pytest.raises(SegtuneError, match="protocol PC-59 has no unseen classes"):
        parse_vocabulary("PC-59:seen")


def test_zegformer_numbers_seen_classes_first() -> None:
    vocabulary = zero_shot("coco156-15")
    order = seen_first(vocabulary)
    assert sorted(order) == list(range(171))
    assert vocabulary.subset(order[:156]).names == zero_shot("coco156-15", "seen").names
    assert vocabulary.subset(order[156:]).names == zero_shot("coco156-15", "unseen").names
    # Person to sheep are seen and keep their places; the cow, COCO's 20th, moves to the end.
    assert order[:20] == (*range(19), 20)
    assert order[156] == 19


@pytest.mark.parametrize(
    ("protocol", "system", "options"),
    [
        ("A-150", "ovseg", {"weight": 0.7}),
        ("PC-459", "ovseg", {"weight": 0.6}),
        ("PAS-20", "ovseg", {"weight": 0.45}),
        ("A-847", "simbaseline", {"threshold": 0.3, "weight": 0.7}),
        ("Cityscapes-19", "simbaseline", {"threshold": 0.3, "weight": 0.4}),
        ("coco156-15", "simbaseline", {"threshold": 0.5, "weight": 0.8}),
        ("coco156-15", "zegformer", {"gamma": 0.1}),
        ("ade572-275", "zegformer", {"gamma": 0.0}),
    ],
)
def test_published_settings(protocol: str, system: str, options: dict[str, float]) -> None:
    setting = find_protocol(protocol).setting(system)
    assert setting is not None
    assert setting.options == options
    assert setting.source


def test_published_settings_are_options_of_their_systems() -> None:
    settings = [setting for name in protocol_names() for setting in find_protocol(name).settings]
    assert {setting.system for setting in settings} == {"ovseg", "simbaseline", "zegformer"}
    for setting in settings:
        assert setting.system in SYSTEMS
        preset = PRESETS[setting.system]
        config = replace(preset, **checked(OVSegConfig, setting.system, setting.options))
        assert {name: getattr(config, name) for name in setting.options} == setting.options


def test_the_paper_and_the_commands_of_ovseg_disagree_on_pas20() -> None:
    printed = find_protocol("PAS-20").setting("ovseg", source="OVSeg paper")
    assert printed is not None
    assert printed.options == {"weight": 0.6}
    assert find_protocol("PAS-21").setting("ovseg") is None


def test_unknown_protocol() -> None:
    with pytest.raises(SegtuneError, match="'voc15' is not a protocol; did you mean voc15-5"):
        zero_shot("voc15")
    with pytest.raises(SegtuneError, match="'PC-60' is not a protocol; did you mean"):
        find_protocol("PC-60")


def test_groups_of_open_world_protocols() -> None:
    lvis = zero_shot("LVIS-OW")
    assert [len(lvis.ids_in(group)) for group in ("known", "seen", "unseen")] == [123, 743, 337]
    assert lvis.concepts[792].name == "person"
    assert lvis.concepts[792].group == "known"
    assert (lvis.names[0], lvis.concepts[0].group) == ("aerosol_can", "seen")
    assert (lvis.names[12], lvis.concepts[12].group) == ("applesauce", "unseen")
    assert len(parse_vocabulary("lvis-ow:known")) == 123
    assert find_protocol("LVIS-OW").words("readable").names[1] == "air conditioner"
    coco = zero_shot("VOC-to-COCO")
    known = coco.subset(coco.ids_in("known")).names
    assert (len(known), known[0], known[-1]) == (20, "person", "tv")
    assert coco.ids_in("seen") == ()
    tasks = {name: find_protocol(name).task for name in protocol_names()}
    assert tasks["LVIS-OW"] == "open-world"
    assert tasks["COCO-to-UVO"] == tasks["VOC-to-COCO"] == "class-agnostic"
    assert tasks["A-150"] == "semantic"
    assert protocol_names("open-world") == ("LVIS-OW",)
