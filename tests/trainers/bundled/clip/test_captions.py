import numpy as np

from segtune.data.synthetic import base_vocabulary, compositions
from segtune.trainers.bundled.clip.captions import (
    ANY,
    SYNONYMS,
    concept_attributes,
    concept_names,
    full_sentence,
    matches,
    pair_sentence,
    seen_things,
    training_captions,
    word_ids,
    word_sentences,
)


def test_concepts_are_the_base_vocabulary() -> None:
    assert concept_names() == base_vocabulary().names


def test_a_full_sentence_is_true_of_its_concept_only() -> None:
    rng, attributes = np.random.default_rng(0), concept_attributes()
    for concept in range(0, len(attributes), 7):
        claim = full_sentence(concept, rng).claim
        assert np.flatnonzero(matches([claim], attributes)[:, 0]).tolist() == [concept]


def test_a_pair_sentence_is_true_of_its_concept_and_of_others() -> None:
    rng, attributes = np.random.default_rng(0), concept_attributes()
    for concept in range(0, len(compositions()), 7):
        sentence = pair_sentence(concept, rng)
        true = np.flatnonzero(matches([sentence.claim], attributes)[:, 0])
        assert concept in true
        assert len(true) > 1
        assert sentence.claim[:3].count(ANY) == 1


def test_word_sentences_are_true_of_what_word_ids_say() -> None:
    attributes = concept_attributes()
    sentences = word_sentences(np.random.default_rng(0))
    true = matches([sentence.claim for sentence in sentences], attributes)  # (K, words)
    ids = word_ids(attributes)
    assert ids.shape == (len(attributes), 3)
    for concept, row in enumerate(ids):
        assert np.flatnonzero(true[concept]).tolist() == sorted(set(row.tolist()))
    star = concept_names().index("striped red star")
    claims = [sentences[i].claim for i in ids[star]]
    assert claims == [(1, ANY, ANY, ANY), (ANY, 0, ANY, ANY), (ANY, ANY, 3, ANY)]


def test_stuff_and_things_never_match() -> None:
    attributes = concept_attributes()
    num_things = len(compositions())
    rng = np.random.default_rng(0)
    claims = [pair_sentence(0, rng).claim for _ in range(20)]
    assert not matches(claims, attributes[num_things:]).any()
    stuff = [full_sentence(k, rng).claim for k in range(num_things, len(attributes))]
    assert not matches(stuff, attributes[:num_things]).any()


def test_sentences_follow_the_generator() -> None:
    one = [full_sentence(5, np.random.default_rng(s)).text for s in range(20)]
    two = [full_sentence(5, np.random.default_rng(s)).text for s in range(20)]
    assert one == two
    assert len(set(one)) > 5


def test_no_caption_names_an_unseen_composition() -> None:
    """Neither in training sentences nor in the tokenizer's corpus; synonyms are read back."""
    plain = {synonym: word for word, others in SYNONYMS.items() for synonym in others}
    rng = np.random.default_rng(0)
    texts = [full_sentence(int(k), rng).text for k in seen_things()] + training_captions()
    unseen = {frozenset(c.name.split()) for c in compositions() if c.is_unseen}
    for text in texts:
        words = {plain.get(word, word) for word in text.replace(".", "").split()}
        assert not any(name <= words for name in unseen), text
