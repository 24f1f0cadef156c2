"""Features in memory and on disk: same numbers, written once, damaged files written again."""

import pytest
import torch

from segtune.fewshot.feature_cache import FeatureCache, cache_key


@pytest.fixture(params=["memory", "disk"])
def cache(request, tmp_path):
    return FeatureCache(None if request.param == "memory" else tmp_path / "views")


def test_what_goes_in_comes_out(cache):
    tensors = {"map": torch.randn(3, 4, 5), "ids": torch.arange(4)}
    assert 7 not in cache
    cache.put(7, tensors)
    assert 7 in cache
    assert 8 not in cache
    found = cache.get(7)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_half_is_half_and_comes_back_as_float(tmp_path):
    values = torch.randn(1000)
    for folder in (None, tmp_path):
        cache = FeatureCache(folder, half=True)
        cache.put(0, {"map": values, "ids": torch.tensor([5])})
        assert cache.get(0)["map"].dtype == torch.float32
        assert cache.get(0)["ids"].tolist() == [5]
        torch.testing.assert_close(cache.get(0)["map"], values, atol=2e-3, rtol=1e-3)
    assert (tmp_path / "000000.safetensors").stat().st_size < 2400


def test_a_view_of_a_batch_does_not_keep_the_batch(cache):
    batch = torch.randn(8, 1000)
    cache.put(0, {"map": batch[0]})
    assert cache.get(0)["map"].untyped_storage().nbytes() == 4000


def test_damaged_files_do_not_count(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put(0, {"map": torch.zeros(3)})
    (tmp_path / "000000.safetensors").write_bytes(b"half")
    assert 0 not in cache
    with pytest.raises(KeyError):
        cache.get(0)
    with pytest.raises(KeyError):
        FeatureCache().get(1)


def test_keys_depend_on_every_part():
    key = cache_key(model="a", views=[1, 2])
    assert key == cache_key(views=[1, 2], model="a")
    assert len({key, cache_key(model="a", views=[1, 3]), cache_key(model="b", views=[1, 2])}) == 3
