import pytest

from segtune.data.synthetic.attributes import COLOURS, SHAPES, STUFF, TEXTURES, base_vocabulary
from segtune.data.synthetic.worlds import JARGON, make_world, world_names


@pytest.mark.parametrize("name", world_names())
def test_every_world_is_consistent(name):
    world = make_world(name)
    assert world.name == name
    assert world.vocabulary.name == f"synthetic:{name}"
    assert len(world.train_shares) == len(world.test_shares) == world.num_things
    assert all(concept.kind == "thing" for concept in world.thing_concepts)
    if world.annotates_stuff:
        assert world.vocabulary.names[world.num_things :] == STUFF
    groups = {concept.group for concept in world.thing_concepts}
    assert set(world.annotated_groups) <= set(world.train_groups) <= groups


def test_unknown_world_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'mars'.*base.*longtail.*jargon.*fog"):
        make_world("mars")


def test_longtail_groups():
    world = make_world("longtail")
    groups = [concept.group for concept in world.thing_concepts]
    assert {g: groups.count(g) for g in set(groups)} == {"known": 72, "seen": 24, "unseen": 24}
    assert not world.annotates_stuff
    for composition, group in zip(world.compositions, groups, strict=True):
        assert composition.is_unseen == (group == "unseen")
    assert len(set(world.compositions)) == 120
    assert world.train_shares[0] > 20 * world.train_shares[-1]
    rarest = min(s for s, g in zip(world.train_shares, groups, strict=True) if g != "unseen")
    assert all(s < rarest for s, g in zip(world.train_shares, groups, strict=True) if g == "unseen")


def test_jargon_names_are_new_and_their_looks_are_seen():
    world = make_world("jargon")
    assert len(JARGON) == len(set(JARGON.values())) == world.num_things == 12
    names = [name for concept in base_vocabulary() for name in concept.names]
    familiar = {word for name in names for word in name.split()}
    assert not familiar & set(JARGON)
    assert [c.name for c in world.compositions] == list(JARGON.values())
    assert not any(composition.is_unseen for composition in world.compositions)


def test_zero_shot_split_has_15_seen_and_5_unseen_recombinations():
    world = make_world("base-15-5")
    assert len(world.vocabulary) == 20
    assert world.vocabulary.ids_in("seen") == tuple(range(15))
    assert world.vocabulary.ids_in("unseen") == tuple(range(15, 20))
    seen = world.compositions[:15]
    assert {c.shape for c in seen} == set(SHAPES)
    assert {c.texture for c in seen} == set(TEXTURES)
    assert {c.colour for c in seen} == set(COLOURS)
