"""English plurals folded to the singular, by suffix rules and lists of exceptions.

Meant for the nouns of captions: a wrong fold of a rare word costs a merge, so the rules prefer to
leave a word alone.
"""

from __future__ import annotations

from functools import lru_cache

IRREGULAR = {
    **{"men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot"},
    **{"teeth": "tooth", "geese": "goose", "mice": "mouse", "lice": "louse", "oxen": "ox"},
    **{"knives": "knife", "wives": "wife", "lives": "life", "leaves": "leaf", "shelves": "shelf"},
    **{"loaves": "loaf", "halves": "half", "calves": "calf", "wolves": "wolf", "scarves": "scarf"},
    **{"thieves": "thief", "hooves": "hoof", "elves": "elf", "selves": "self", "sheaves": "sheaf"},
    **{"bookshelves": "bookshelf", "housewives": "housewife", "grandchildren": "grandchild"},
    **{"buses": "bus", "minibuses": "minibus", "gases": "gas", "lenses": "lens", "irises": "iris"},
    **{"canvases": "canvas", "atlases": "atlas", "quizzes": "quiz", "waltzes": "waltz"},
    **{"axes": "axe", "headaches": "headache", "quiches": "quiche", "caches": "cache"},
    **{"avocadoes": "avocado", "shoes": "shoe", "toes": "toe", "canoes": "canoe", "hoes": "hoe"},
    **{"horseshoes": "horseshoe", "snowshoes": "snowshoe", "oboes": "oboe", "floes": "floe"},
    **{"tiptoes": "tiptoe", "cacti": "cactus", "fungi": "fungus", "octopi": "octopus"},
    **{"bacteria": "bacterium", "criteria": "criterion", "crises": "crisis", "oases": "oasis"},
    **{"cookies": "cookie", "movies": "movie", "selfies": "selfie", "brownies": "brownie"},
    **{"ties": "tie", "pies": "pie", "neckties": "necktie", "hoodies": "hoodie", "genies": "genie"},
    **{"smoothies": "smoothie", "veggies": "veggie", "zombies": "zombie", "birdies": "birdie"},
    **{"magpies": "magpie", "potpies": "potpie", "prairies": "prairie", "collies": "collie"},
    **{"kitties": "kitty", "skis": "ski", "taxis": "taxi", "kiwis": "kiwi", "bikinis": "bikini"},
    **{"safaris": "safari", "zucchinis": "zucchini", "paninis": "panini", "snowmen": "snowman"},
}
"""Plural -> singular, where no rule below is right."""

UNCHANGED = frozenset(
    {
        *("sheep", "deer", "fish", "moose", "bison", "shrimp", "salmon", "trout", "elk"),
        *("series", "species", "aircraft", "spacecraft", "hovercraft", "headquarters", "means"),
        *("scissors", "pants", "jeans", "shorts", "trousers", "leggings", "tights", "pajamas"),
        *("pyjamas", "glasses", "sunglasses", "goggles", "binoculars", "tongs", "pliers"),
        *("overalls", "headphones", "tennis", "chess", "news", "gymnastics", "athletics"),
        *("bus", "gas", "lens", "iris", "canvas", "atlas", "christmas", "asparagus", "hummus"),
        *("clothes", "stairs", "bleachers", "groceries", "swiss", "gallows", "bowels"),
        *("always", "perhaps", "this", "his", "its", "was", "is", "has", "as", "yes", "us"),
    }
)
"""Words in -s that are no plurals, and plurals that have no singular or are their own."""

_MAN = ("men", "women")


@lru_cache(maxsize=65536)
def singular(word: str) -> str:
    """Returns the singular of a lower-case noun; singulars come back as they are.

    Example:
        >>> [singular(word) for word in ("buses", "knives", "benches", "berries", "grass")]
        ['bus', 'knife', 'bench', 'berry', 'grass']
    """
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in UNCHANGED:
        return word
    if word.endswith(_MAN) and len(word) > 5 and not word.endswith("specimen"):
        return f"{word[:-2]}an"  # firemen, policewomen
    if "-" in word:  # close-ups, t-shirts
        front, _, last = word.rpartition("-")
        return f"{front}-{singular(last)}"
    if len(word) < 3 or not word.endswith("s") or word.endswith(("ss", "us", "is", "'s")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "xes", "sses", "oes", "zzes")):
        return word[:-2]
    if word.endswith("uses") and not word.endswith(("ouses", "auses")):
        return word[:-2]  # viruses, octopuses; but houses, causes
    return word[:-1]
