"""Prompts in the training loop: the optimisers by hand, and factors of their rates."""

import pytest
import torch

from segtune.fewshot.batches import Batch
from segtune.fewshot.learner import Learner, optimise
from segtune.systems.base import System, Targets, Words
from segtune.train.config import LoopConfig
from segtune.types import Features

BATCH = Batch(Features({}, (1, 1)), Words(torch.zeros(1, 1)), Targets(torch.zeros(1, 1, 1)))


class Slope(System):
    """Learns one number whose loss rises by 2 per unit."""

    name, config = "slope", None

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torch.nn.Linear(1, 1)
        self.prompts = torch.nn.ParameterDict({"x": torch.nn.Parameter(torch.tensor(3.0))})

    def encode(self, pixels):
        return Features({}, (1, 1))

    def predict(self, features, words, geometries):
        return []

    def loss(self, features, words, targets):
        return {"loss": 2 * self.prompts["x"]}

    @property
    def stride(self):
        return 1


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_sgd_has_momentum_and_decay(weight_decay):
    system = Slope()
    config = LoopConfig(
        steps=3, lr=0.5, weight_decay=weight_decay, warmup=0, power=0, optimizer="sgd"
    )
    optimise(system, lambda step: BATCH, config, progress=False)
    x, velocity = 3.0, 0.0
    for _ in range(3):
        velocity = 0.9 * velocity + 2 + weight_decay * x
        x -= 0.5 * velocity
    assert system.prompts["x"].item() == pytest.approx(x, rel=1e-5)


def test_adamw_moves_by_the_rate_whatever_the_slope():
    system = Slope()
    config = LoopConfig(steps=1, lr=0.5, weight_decay=0.0, warmup=0, power=0)
    optimise(system, lambda step: BATCH, config, progress=False)
    assert system.prompts["x"].item() == pytest.approx(2.5)


def test_factors_are_of_the_rates_of_groups():
    system = Slope()
    assert system.parameter_groups(1.0, 0.0)[0]["lr"] == 1.0
    optimizer = Learner(system, LoopConfig(lr=0.5), (0.1,)).optimizers()["optimizer"]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    optimise(system, lambda step: BATCH, LoopConfig(steps=2), factors=(0.0,), progress=False)
    assert system.prompts["x"].item() == 3.0
    with pytest.raises(ValueError, match=r"shorter|longer"):
        Learner(system, LoopConfig(), (1.0, 2.0)).optimizers()


def test_prompts_are_in_training_mode_while_they_learn():
    system = Slope()
    modes = []
    plain = system.loss
    system.loss = lambda *given: (modes.append(system.prompts.training), plain(*given))[1]
    optimise(system, lambda step: BATCH, LoopConfig(steps=2), progress=False)
    assert modes == [True, True]
    assert not system.prompts.training
