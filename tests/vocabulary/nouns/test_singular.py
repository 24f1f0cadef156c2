import pytest

from segtune.vocabulary.nouns.singular import IRREGULAR, UNCHANGED, singular

PAIRS = """
dogs dog | buses bus | boxes box | benches bench | brushes brush | glasses glasses | crosses cross
vases vase | horses horse | houses house | blouses blouse | viruses virus | cases case | lenses lens
cities city | keys key | cookies cookie | ties tie | berries berry | potatoes potato | shoes shoe
photos photo | knives knife | leaves leaf | giraffes giraffe | roofs roof | men man | women woman
firemen fireman | policewomen policewoman | children child | people person | feet foot | mice mouse
sheep sheep | fish fish | series series | grass grass | bus bus | tennis tennis | cactus cactus
dishes dish | foxes fox | prizes prize | sizes size | churches church | t-shirts t-shirt
close-ups close-up | gas gas | scissors scissors | stairs stairs | dress dress | skis ski
"""


@pytest.mark.parametrize(
    ("plural", "expected"),
    [tuple(pair.split()) for line in PAIRS.strip().splitlines() for pair in line.split("|")],
)
def test_singular(plural, expected):
    assert singular(plural) == expected


def test_singulars_stay_as_they_are():
    for word in {*IRREGULAR.values(), *UNCHANGED}:
        assert singular(word) == word
