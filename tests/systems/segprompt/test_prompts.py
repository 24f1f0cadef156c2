import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from segtune.errors import SegtuneError
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.prompts import PromptCache, SegPrompts


def slow_update(
    rows: torch.Tensor, seen: set[int], states: torch.Tensor, ids: torch.Tensor, momentum: float
) -> torch.Tensor:
    """The rule of the paper, class by class."""
    rows = rows.clone()
    for class_id in set(ids.flatten().tolist()):
        mean = states[ids == class_id].mean(0)
        if class_id not in seen:
            rows[class_id] = mean
        rows[class_id] = momentum * rows[class_id] + (1 - momentum) * mean
        seen.add(class_id)
    return rows


def test_the_cache_follows_the_rule_class_by_class():
    generator = torch.Generator().manual_seed(0)
    cache, seen, rows = PromptCache(num_classes=6, width=4, momentum=0.8), set(), torch.zeros(7, 4)
    total = torch.zeros(7, dtype=torch.int64)
    for _ in range(4):
        states = torch.randn(2, 3, 4, generator=generator)
        ids = torch.randint(0, 7, (2, 3), generator=generator)
        cache.update(states, ids)
        rows = slow_update(rows, seen, states, ids, 0.8)
        total += ids.flatten().bincount(minlength=7)
        torch.testing.assert_close(cache.rows, rows)
        assert set(cache.is_initialised.nonzero().flatten().tolist()) == seen
    assert torch.equal(cache.counts, total)


def test_a_row_of_zeros_is_known_by_its_flag():
    cache = PromptCache(num_classes=1, width=2, momentum=0.5)
    cache.update(torch.zeros(1, 1, 2), torch.tensor([[0]]))
    assert cache.is_initialised.tolist() == [True, False]
    cache.update(torch.ones(1, 1, 2), torch.tensor([[0]]))
    assert cache.rows[0].tolist() == [0.5, 0.5]  # a released cache would start anew: 1


def _meet(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    cache = PromptCache(num_classes=3, width=2)
    states, ids = _batch()
    for _ in range(2):
        cache.update(states[rank : rank + 1], ids[rank : rank + 1])
    torch.save(cache.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    states = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(4))
    return states, torch.tensor([[0, 0, 3], [0, 1, 3]])


def test_two_processes_have_the_cache_of_one(tmp_path):
    mp.start_processes(_meet, (str(tmp_path),), nprocs=2, start_method="fork")
    cache = PromptCache(num_classes=3, width=2)
    for _ in range(2):
        cache.update(*_batch())
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name, value in cache.state_dict().items():
            torch.testing.assert_close(found[name], value)


def test_picks_are_different_inside_of_a_group_and_anew_each_time():
    prompts = SegPrompts(SegPromptConfig(num_prompts=40, repeat=4), num_classes=2, width=2)
    generator = torch.Generator().manual_seed(0)
    one, two = prompts.picks(6, generator), prompts.picks(6, generator)
    assert all(len(set(group.tolist())) == 4 for group in one.view(10, 4))
    assert not torch.equal(one, two)
    assert set(one.tolist()) == set(range(6))
    with pytest.raises(SegtuneError, match="repeat=4 needs as many"):
        prompts.picks(3, generator)


def test_own_additions_and_single_queries_draw_nothing():
    def picks(**options):
        config = SegPromptConfig(num_prompts=4, **options)
        return SegPrompts(config, num_classes=2, width=2).picks(5, torch.Generator()).tolist()

    assert picks(repeat=2, own_repeats=True) == [0, 1, 0, 1]
    assert picks(repeat=1) == []


def test_names_go_with_embeddings_of_names():
    with pytest.raises(SegtuneError, match="class_rows=text"):
        SegPrompts(SegPromptConfig(class_rows="text"), num_classes=2, width=2)
    config = SegPromptConfig(num_prompts=2, repeat=1, class_rows="text")
    prompts = SegPrompts(config, num_classes=2, width=2, text=torch.eye(2))
    ids, none = torch.tensor([[1, 2]]), torch.zeros(0, dtype=torch.int64)
    content, _ = prompts.queries(ids, none, torch.zeros(3, 2), torch.zeros(3, 2))
    assert content.tolist() == [[[0.0, 1.0], [0.0, 0.0]]]  # equal widths are not projected
    assert sum(p.numel() for p in prompts.parameters()) == 0


def test_rows_from_elsewhere_take_the_place_of_the_cache():
    config = SegPromptConfig(num_prompts=4, repeat=2, project_cache=True)
    prompts = SegPrompts(config, num_classes=3, width=8)
    prompts.cache.rows.normal_()
    ids, picks = torch.tensor([[0, 0, 2, 2]]), torch.tensor([1, 0, 2, 1])
    learned = torch.randn(2, 3, 8).unbind()
    whole = prompts.queries(ids, picks, *learned)
    rows = prompts.cache.rows[ids]
    given = prompts.of_rows(rows, ids, picks, *learned)
    bare = prompts.of_rows(rows, None, picks, *learned)
    tables = (prompts.class_content, prompts.class_position)
    for one, two, three, table in zip(whole, given, bare, tables, strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one - three, table(ids))
