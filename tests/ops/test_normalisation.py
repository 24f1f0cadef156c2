"""Pixels on the scale of a model: to the last bit as the models' own code does it."""

import subprocess
import sys

import pytest
import torch

from segtune.ops.normalisation import CLIP, HALF, IMAGENET, IMAGENET_BY_UNIT, Normalisation

UNIT = {
    "clip": (CLIP, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": (IMAGENET_BY_UNIT, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": (HALF, (0.5,) * 3, (0.5,) * 3),
    "other": (Normalisation.of_unit([0.1, 0.2, 0.3], [1 / 7, 1, 0.7]), (0.1, 0.2, 0.3), None),
}


def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 255


@pytest.mark.parametrize("name", UNIT)
def test_by_unit_is_the_arithmetic_of_values_from_zero_to_one(name: str) -> None:
    normalisation, mean, std = UNIT[name]
    std = std or (1 / 7, 1, 0.7)
    plain = [
        (pixels()[:, i] / 255 - torch.tensor(mean[i])) / torch.tensor(std[i]) for i in range(3)
    ]
    assert torch.equal(normalisation.apply(pixels()), torch.stack(plain, 1))
    assert normalisation.unit_mean == mean
    assert normalisation.unit_std == pytest.approx(std, abs=1e-12)


def test_on_pixels() -> None:
    plain = [(pixels()[:, i] - IMAGENET.mean[i]) / IMAGENET.std[i] for i in range(3)]
    assert torch.equal(IMAGENET.apply(pixels()), torch.stack(plain, 1))
    assert torch.allclose(IMAGENET.apply(pixels()), IMAGENET_BY_UNIT.apply(pixels()), atol=1e-5)


@pytest.mark.parametrize("normalisation", [CLIP, IMAGENET])
def test_tensors_are_on_the_scale_of_pixels(normalisation: Normalisation) -> None:
    mean, std = normalisation.tensors(pixels().half())
    assert mean.shape == std.shape == (3, 1, 1)
    assert mean.dtype == torch.float16
    assert mean.flatten().tolist() == pytest.approx(normalisation.mean, rel=1e-3)
    assert std.flatten().tolist() == pytest.approx(normalisation.std, rel=1e-3)
    assert normalisation.apply(pixels().half()).dtype == torch.float16


def test_three_channels() -> None:
    with pytest.raises(ValueError, match="unpack"):
        Normalisation.of_unit([0.5], [0.5])


def test_no_torch_is_needed_to_say_it() -> None:
    code = "import sys, segtune.ops.normalisation; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
