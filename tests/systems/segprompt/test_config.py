import pytest

from segtune.errors import SegtuneError
from segtune.systems.segprompt.config import SegPromptConfig


def test_the_defaults_are_the_published_ones():
    config = SegPromptConfig()
    assert (config.num_prompts, config.repeat, config.num_groups) == (300, 10, 30)
    assert (config.num_examples, config.momentum, config.min_area) == (5, 0.9, 100)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_prompts": 5, "repeat": 2}, "multiple of repeat"),
        ({"repeat": 0}, "repeat=0"),
        ({"momentum": 1.5}, r"momentum=1\.5"),
        ({"num_examples": -1}, "num_examples=-1"),
        ({"min_area": -1}, "min_area=-1"),
        ({"prompt_weights": (1.0, -1.0, 1.0)}, "below zero"),
        ({"cache_loss": -1.0}, "cache_loss"),
    ],
)
def test_settings_that_make_no_sense(given, said):
    with pytest.raises(SegtuneError, match=said):
        SegPromptConfig(**given)
