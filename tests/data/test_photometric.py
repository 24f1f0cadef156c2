import colorsys

import torch

from segtune.data.photometric import PhotometricDistortion, hsv_to_rgb, rgb_to_hsv
from tests.data.test_examples import example


def colours() -> torch.Tensor:
    """(3, 5, 20) RGB with primaries, greys and black among random colours."""
    image = torch.rand(3, 5, 20, generator=torch.Generator().manual_seed(0)) * 255
    image[:, 0, :3] = torch.eye(3) * 255
    image[:, 0, 3] = 0
    image[:, 0, 4] = 128
    image[:, 0, 5] = 255
    return image


def test_hsv_agrees_with_the_standard_library() -> None:
    image = colours()
    hue, saturation, value = rgb_to_hsv(image)
    for y in range(5):
        for x in range(20):
            h, s, v = colorsys.rgb_to_hsv(*(image[:, y, x] / 255).tolist())
            assert abs(hue[y, x] - h * 360) < 1e-2
            assert abs(saturation[y, x] - s) < 1e-5
            assert abs(value[y, x] - v * 255) < 1e-3


def test_hsv_and_back() -> None:
    assert torch.allclose(hsv_to_rgb(*rgb_to_hsv(colours())), colours(), atol=1e-3)


def test_nothing_to_do_changes_nothing() -> None:
    still = PhotometricDistortion(0.0, (1.0, 1.0), (1.0, 1.0), 0.0)
    for seed in range(8):
        out = still.distorted(colours(), torch.Generator().manual_seed(seed))
        assert torch.allclose(out, colours(), atol=1e-3)


def test_each_part_alone() -> None:
    brighter = PhotometricDistortion(32.0, (1.0, 1.0), (1.0, 1.0), 0.0)
    flat = torch.full((3, 2, 2), 100.0)
    shifts = {
        round((brighter.distorted(flat, torch.Generator().manual_seed(seed)) - flat).mean().item())
        for seed in range(60)
    }
    assert 0 in shifts
    assert min(shifts) < -20
    assert max(shifts) > 20
    assert max(map(abs, shifts)) <= 32
    grey = PhotometricDistortion(0.0, (1.0, 1.0), (0.0, 0.0), 0.0)
    results = [grey.distorted(colours(), torch.Generator().manual_seed(s)) for s in range(8)]
    spreads = [(out.amax(0) - out.amin(0)).max().item() for out in results]
    assert min(spreads) == 0
    assert max(spreads) > 200


def test_stays_in_range_and_is_deterministic() -> None:
    strong = PhotometricDistortion()
    for seed in range(20):
        out = strong.distorted(colours(), torch.Generator().manual_seed(seed))
        again = strong.distorted(colours(), torch.Generator().manual_seed(seed))
        assert out.min() >= 0
        assert out.max() <= 255.001
        assert torch.equal(out, again)


def test_labels_stay() -> None:
    out = PhotometricDistortion()(example(), torch.Generator().manual_seed(0))
    assert torch.equal(out.semantic, example().semantic)
    assert torch.equal(out.masks, example().masks)
