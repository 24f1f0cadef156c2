"""Other numbers in a module: as `functional_call`, without touching the module."""

import threading

import pytest
import torch
from torch import nn
from torch.func import functional_call

from segtune.backbones.substitutes import with_tensors
from segtune.errors import SegtuneError


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ModuleDict({"a": nn.Linear(3, 2)})["a"], nn.Tanh())


def test_it_equals_functional_call_with_gradients(net):
    tensors = {"0.weight": torch.randn(3, 4, requires_grad=True), "1.bias": torch.randn(2)}
    x = torch.randn(5, 4)
    before = {name: p.clone() for name, p in net.named_parameters()}
    ours, theirs = with_tensors(net, tensors)(x), functional_call(net, tensors, (x,))
    assert torch.equal(ours, theirs)
    grads = [torch.autograd.grad(y.sum(), tensors["0.weight"])[0] for y in (ours, theirs)]
    assert torch.equal(*grads)
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())


def test_all_else_is_shared(net):
    twin = with_tensors(net, {"0.weight": torch.zeros(3, 4)})
    assert twin[0] is not net[0]
    assert twin[0].bias is net[0].bias
    assert twin[1] is net[1]
    assert with_tensors(net, {}) is net


def test_names_that_are_not_there(net):
    with pytest.raises(SegtuneError, match="Linear has no parameter other"):
        with_tensors(net, {"0.other": torch.zeros(1)})


def test_another_thread_sees_the_module_as_it_is():
    """The twin waits in the middle of its pass, while the module answers elsewhere."""
    begun, free = threading.Event(), threading.Event()

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 1, bias=False)

        def forward(self, x: torch.Tensor, wait: bool) -> torch.Tensor:
            if wait:
                begun.set()
                assert free.wait(timeout=30)
            return self.linear(x)

    slow, found, one = Slow(), [], torch.ones(1)
    twin = with_tensors(slow, {"linear.weight": torch.full((1, 1), 7.0)})
    thread = threading.Thread(target=lambda: found.append(twin(one, True).item()))
    thread.start()
    assert begun.wait(timeout=30)
    plain = slow(one, False)
    free.set()
    thread.join(timeout=30)
    assert found == [7.0]
    assert torch.equal(plain, slow.linear.weight[0])
