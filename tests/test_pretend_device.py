"""The pretended device computes what the CPU does, refuses what CUDA refuses, and counts waits."""

import numpy as np
import pytest
import torch

from tests.pretend_device import DEVICE, PretendTensor, pretended

GIVEN = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))


def put(x, index, value):
    x[index] = value
    return x


def summed(x):
    out = x.new_zeros(4, 5)
    return out.index_add_(0, torch.tensor([0, 0, 3], device=x.device), x[:, 1])


def gradient(x):
    x = x.detach().requires_grad_()
    seen = torch.softmax(x[:, 1:] @ x[:, :2].mT, -1).masked_fill(x[:, 1:, :2] > 1, 0.0)
    return torch.autograd.grad(seen.sum() + (x[0, [0, 0, 1]] ** 3).sum(), [x])[0]


SAME = {
    "lists as indices": lambda x: x[0, [1, 3]],
    "an empty list": lambda x: x[0, []],
    "several lists": lambda x: x[[0, 1], 2, [1, 1]],
    "a range": lambda x: x[..., range(2)],
    "an array": lambda x: x[np.array([2, 0])],
    "masks": lambda x: x[x > 0],
    "indices on the CPU": lambda x: x[:, torch.tensor([0, 1, 3]) - 1, :2],
    "a list is set": lambda x: put(x, (0, [1, 2]), 7.0),
    "an axis is set": lambda x: put(x, (slice(None), 1), x[:, 2].clone()),
    "a mask is set": lambda x: put(x, x > 0, 0.0),
    "a view is changed": lambda x: (x[0].add_(1), x)[1],
    "numbers of the CPU are copied in": lambda x: (x[:, 2].copy_(torch.ones(3, 5)), x)[1],
    "a number of the CPU": lambda x: torch.where(x > 0, x, torch.tensor(2.0)) * torch.tensor(3.0),
    "into a result": lambda x: torch.mm(x[0], x[1].T, out=x.new_empty(4, 4)),
    "a sum by rows": summed,
    "a gradient": gradient,
    "a type": lambda x: x.to(torch.float64).cumsum(0).to(x),
    "einsum": lambda x: torch.einsum("abc,dbc->ad", x, x),
    "an empty one like it": lambda x: torch.full_like(x, 2.0) + torch.arange(5, device=x.device),
}


@pytest.mark.parametrize("name", SAME)
def test_it_computes_what_the_cpu_does(name):
    wanted = SAME[name](GIVEN.clone())
    with pretended():
        found = SAME[name](GIVEN.clone().to(DEVICE))
        assert isinstance(found, PretendTensor) and found.device == DEVICE
        found = found.cpu()
    assert type(found) is torch.Tensor
    torch.testing.assert_close(found, wanted, atol=0, rtol=0)


REFUSED = {
    "a sum": lambda x: x + torch.ones(5),
    "a concatenation": lambda x: torch.cat([x, torch.ones(3, 4, 5)]),
    "a concatenation with a number": lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
    "setting": lambda x: put(x, [0, 1], torch.ones(2, 4, 5)),
    "numpy": lambda x: x.numpy(),
    "an array": lambda x: np.asarray(x),
    "a product": lambda x: x @ torch.ones(5, 2),
    "a mask on the device of the CPU's": lambda x: torch.ones(3, 4, 5)[x > 0],
    "an index on the device of the CPU's": lambda x: torch.ones(9)[torch.tensor([1]).to(x.device)],
    "a choice": lambda x: torch.where(x > 0, x, torch.ones(5)),
    "rows from the CPU": lambda x: x.index_select(0, torch.tensor([0])),
    "adding to the CPU's number": lambda x: torch.zeros(()).add_(x.sum()),
    "the CPU's vector and a number": lambda x: torch.ones(5) + x.sum(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_what_cuda_refuses(name):
    with pretended(), pytest.raises((RuntimeError, TypeError), match="device"):
        REFUSED[name](GIVEN.clone().to(DEVICE))


WAITS = {
    "read": (
        lambda x: float(x.sum()),
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: bool(x.any()),
    ),
    "sent": (
        lambda x: torch.ones(2).to(DEVICE),
        lambda x: torch.tensor([1], device=DEVICE),
        lambda x: x[[0, 1]],
    ),
    "sized": (lambda x: x[x > 0], lambda x: (x > 0).nonzero(), lambda x: x.unique()),
    None: (
        lambda x: x + 1,
        lambda x: x[0, 1:],
        lambda x: put(x, x > 0, 0.0),
        lambda x: x.to(DEVICE),
    ),
}


@pytest.mark.parametrize("kind", WAITS)
def test_it_counts_what_host_and_device_wait_for(kind):
    with pretended() as device:
        x = GIVEN.clone().to(DEVICE)
        for asked in WAITS[kind]:
            with device.counted() as waits:
                asked(x)
            assert [place.kind for place in waits.elements()] == ([kind] if kind else [])


def test_sums_are_unordered_only_where_rows_come_again():
    with pretended() as device:
        x = GIVEN.clone().to(DEVICE)
        x[0].index_add_(0, torch.tensor([0, 1], device=DEVICE), x[1, :2])
        assert not device.unordered
        x[0].index_add_(0, torch.tensor([1, 1], device=DEVICE), x[1, :2])
        assert sum(device.unordered.values()) == 1
