import pytest
import torch
from safetensors.torch import save_file

from segtune.errors import SegtuneError, WeightsError
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.files import PROMPTS, load_prompts, save_prompts
from segtune.systems.segprompt.prompts import SegPrompts

CLASSES = ("car", "red bus", "dog")


def prompts_of(**changes) -> SegPrompts:
    config = SegPromptConfig(**{"num_prompts": 4, "repeat": 2, **changes})
    prompts = SegPrompts(config, num_classes=3, width=8)
    states = torch.randn(1, 3, 8)
    prompts.cache.update(states, torch.tensor([[1, 1, 3]]))
    return prompts


@pytest.mark.parametrize(
    "changes", [{}, {"class_rows": "none"}, {"own_repeats": True}, {"own_classifier": True}]
)
def test_a_file_gives_back_what_was_written(changes, tmp_path):
    prompts = prompts_of(**changes)
    assert save_prompts(prompts, CLASSES, tmp_path) == tmp_path / PROMPTS
    found = load_prompts(tmp_path)
    state = found.prompts.state_dict()
    assert all(torch.equal(state[key], value) for key, value in prompts.state_dict().items())
    assert (found.classes, found.prompts.config.repeat) == (CLASSES, 2)
    assert not any(p.requires_grad for p in found.prompts.parameters())


def test_only_classes_with_an_example_can_be_asked_for(tmp_path):
    save_prompts(prompts_of(), CLASSES, tmp_path)
    found = load_prompts(tmp_path)
    assert (found.known(), found.row("red bus")) == (("red bus",), 1)
    with pytest.raises(SegtuneError, match=r"'car' is not a class .* prompt for.*red bus"):
        found.row("car")


def test_no_file_and_a_file_without_names(tmp_path):
    assert load_prompts(tmp_path) is None
    save_file({"memory_bank.weight": torch.zeros(4, 8)}, tmp_path / PROMPTS)
    with pytest.raises(WeightsError, match="does not name its classes; train or export"):
        load_prompts(tmp_path)
    (tmp_path / PROMPTS).write_bytes(b"<html>")
    with pytest.raises(WeightsError):
        load_prompts(tmp_path)
