"""Where a model's weights lie: on one device, on several, or in part on the disk.

A Hugging Face model that was loaded with a `device_map` is wrapped by TransformerLens as it is
(`boot_transformers(hf_model=…)`): accelerate's hooks on its modules move what they read, and bring
weights that were put aside into memory for the time of a pass.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any, TypeVar, cast

import torch
from accelerate.hooks import remove_hook_from_module
from accelerate.utils import align_module_device
from torch import Tensor, nn

T = TypeVar("T")
_CPU = torch.device("cpu")


def devices(hf_model: Any) -> list[str]:
    """The devices that hold weights, sorted; `meta` stands for weights that were put aside."""
    return sorted({str(each.device) for each in hf_model.parameters()})


def home_device(hf_model: Any) -> torch.device:
    """Where the embedding is, and with it what goes into the model."""
    first = next(hf_model.parameters()).device
    return _CPU if first.type == "meta" else first


def is_quantised(hf_model: Any) -> bool:
    """Whether some of its weights are packed, to be multiplied with by the library that packed."""
    return getattr(hf_model.config, "quantization_config", None) is not None


def named_tensors(hf_model: Any) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer, one at a time: what was put aside is brought for that time.

    Of a quantised model, also what its packed weights are scaled by.
    """
    if is_quantised(hf_model):
        stored: Mapping[str, object] = hf_model.state_dict()
        yield from ((name, each) for name, each in stored.items() if isinstance(each, Tensor))
        return
    for name, tensor in chain(hf_model.named_parameters(), hf_model.named_buffers()):
        if tensor.device.type != "meta":
            yield name, tensor
            continue
        owner, _, leaf = name.rpartition(".")
        module = hf_model.get_submodule(owner)
        with brought(module):
            yield name, getattr(module, leaf)


@contextmanager
def brought(module: nn.Module) -> Generator[None]:
    """Weights of a module and those in it that were put aside are in memory meanwhile."""
    with ExitStack() as stack:
        for each in module.modules():
            if any(p.device.type == "meta" for p in each.parameters(recurse=False)):
                stack.enter_context(align_module_device(each))
        yield


def alone(module: nn.Module) -> nn.Module:
    """A copy of a module whose weights are in memory, which nothing moves or puts aside."""
    return remove_hook_from_module(copy.deepcopy(module), recurse=True)


def moved(value: T, device: torch.device) -> T:
    """Tensors, also those in named tuples, on a device; nothing is copied that is there already."""
    if isinstance(value, Tensor):
        return cast(T, value.detach().to(device))
    if isinstance(value, tuple):
        found: Any = value
        return cast(T, type(found)(*(moved(each, device) for each in found)))
    return value
