"""A CUDA device that is not there: its tensors say `cuda:0`, and their numbers lie on the CPU.

What CUDA refuses is refused: operations on tensors of two devices, and reading numbers as numpy
does. What makes host and device wait for each other on CUDA is counted by the line of `tracer` that
asked for it, and so are sums whose order CUDA leaves open. Numbers are the CPU's.

A tensor is a wrapper without storage. C++ takes it for one on `meta`, which needs no CUDA build:
autograd runs it on the CPU's queue. Python is told `cuda:0`. All operations go through the mode
`PretendDevice`, which carries them out on what the wrappers hold.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torch.utils._device
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

import tracer
from tracer.engine.model import weights

DEVICE = torch.device("cuda:0")
_CPU = torch.device("cpu")
NAME = "pretended"
MEMORY = 1 << 34
"""Bytes that it has, all of them free."""
_PACKAGE = str(Path(tracer.__file__).parent)
aten = torch.ops.aten
_COPIES = {aten._to_copy.default, aten.copy_.default, aten.copy.default}
_READS = {aten.index.Tensor, aten._unsafe_index.Tensor}
_PUTS = {aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
_ASKS = {aten._local_scalar_dense.default, aten.equal.default}
"""Their result is a number on the host."""
_SIZED = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_consecutive.default,
    aten.unique_dim.default,
    aten.bincount.default,
}
"""The size of their result depends on numbers, which the host must hear of."""
_ADDS = {aten.index_add_.default, aten.index_add.default}
_SCATTERS = {aten.scatter_add_.default, aten.scatter_add.default, aten.put_.default}
_RUNNING = {aten.cumsum.default, aten.cumprod.default}


class Place(NamedTuple):
    """A line of this package, and what it did there."""

    kind: Literal["read", "sent", "sized"]
    """Numbers read by the host, numbers sent to the device, or a size that the host asked for."""
    line: str


class PretendTensor(Tensor):
    """A tensor on the device."""

    held: Tensor
    """Its numbers, on the CPU."""
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> PretendTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device("meta"),
        )
        made.held = held
        return made

    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    def numpy(self, *args: Any, **more: Any) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu().")

    __array__ = numpy

    def tolist(self) -> Any:
        _device().note("read")
        return self.held.tolist()

    def to(self, *args: Any, **more: Any) -> Tensor:
        """Itself, where nothing is to be changed: C++ would see another device than `meta`."""
        device, dtype, _, layout = torch._C._nn._parse_to(*args, **more)
        stays = device is None or _is_pretended(device)
        if stays and dtype in (None, self.dtype) and layout is None and not more.get("copy"):
            return self
        return super().to(*args, **more)

    def __deepcopy__(self, memo: dict[int, Any]) -> PretendTensor:
        made = PretendTensor(self.held.detach().clone()).requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            made._is_param = True
        memo[id(self)] = made
        return made

    # C++ would make lists among the indices into tensors on `meta`, which hold no numbers.
    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_as_tensors(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_as_tensors(index), value)

    def __repr__(self) -> str:
        return f"PretendTensor({self.held})"

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        raise AssertionError(f"{func} of a pretended tensor, and no pretended device is on")


class PretendDevice(TorchDispatchMode):
    """While it is on, tensors may be on `cuda:0`; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[Place] = Counter()
        """How often host and device waited for each other, by line."""
        self.unordered: Counter[str] = Counter()
        """Sums whose order, and so whose last bits, CUDA leaves open, by line."""
        self.n_emptied = 0
        """How often unused memory was given back."""
        self.refuse: Callable[[int], BaseException | None] = lambda n_bytes: None
        """What allocating so many bytes fails with."""

    def note(self, kind: Literal["read", "sent", "sized"]) -> None:
        """Count a wait."""
        self.waits[Place(kind, _line())] += 1

    @contextmanager
    def counted(self) -> Iterator[Counter[Place]]:
        """The waits inside."""
        before, found = self.waits, Counter[Place]()
        self.waits = found
        try:
            yield found
        finally:
            self.waits = before + found

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.ops.prim.device.default:
            return args[0].device
        ours: dict[int, PretendTensor] = {}
        theirs: list[Tensor] = []

        def take(x: Tensor) -> Tensor:
            if isinstance(x, PretendTensor):
                ours[id(x.held)] = x
                return x.held
            theirs.append(x)
            return x

        held = [_mapped(x, take) for x in args]
        held_by_name = {name: _mapped(x, take) for name, x in kwargs.items()}
        if ours and theirs:
            _require_may_mix(func, args, theirs)
        there = bool(ours)
        if kwargs.get("device") is not None:
            there = _is_pretended(kwargs["device"])
            held_by_name |= {"device": _CPU, "pin_memory": False}
        self._count(func, args, kwargs, ours=bool(ours), there=there)
        found = func(*held, **{k: x for k, x in held_by_name.items() if k in _named(func)})
        known = {**ours, **{id(x): x for x in theirs}}
        return _mapped(found, lambda x: self._given(x, known, there=there))

    def _given(self, x: Tensor, known: Mapping[int, Tensor], *, there: bool) -> Tensor:
        """A result as the caller sees it: what came in, a wrapper, or a tensor of the CPU."""
        if (same := known.get(id(x))) is not None:
            if same.shape != x.shape:
                _reshape(same, x)
            return same
        if not there:
            return x
        if not any(_share_memory(x, each) for each in known.values()):
            refused = self.refuse(x.numel() * x.element_size())
            if refused is not None:
                raise refused
        return PretendTensor(x)

    def _count(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        ours: bool,
        there: bool,
    ) -> None:
        if func in _COPIES:
            target = isinstance(args[0], PretendTensor) if func is not _TO_COPY else there
            source = isinstance(args[0 if func is _TO_COPY else 1], PretendTensor)
            if target != source and args[0].numel():
                self.note("sent" if target else "read")
        elif not ours:
            return
        elif func in _ASKS:
            self.note("read")
        elif func in _SIZED or (
            func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None
        ):
            self.note("sized")
        elif func in _READS or func in _PUTS:
            self._count_index(func, args)
        elif _is_unordered(func, args):
            self.unordered[_line()] += 1

    def _count_index(self, func: Any, args: Sequence[Any]) -> None:
        indices = [x for x in args[1] if x is not None]
        for _ in (x for x in indices if x.numel() and not isinstance(x, PretendTensor)):
            self.note("sent")
        is_masked = any(x.dtype in (torch.bool, torch.uint8) for x in indices)
        if is_masked and (func in _READS or args[2].numel() != 1):
            self.note("sized")
        accumulates = len(args) > 3 and args[3]
        if func in _PUTS and not accumulates and not is_masked and args[2].numel() != 1:
            held = [x.held if isinstance(x, PretendTensor) else x for x in indices]
            together = torch.stack(torch.broadcast_tensors(*held)).flatten(1)
            if together.unique(dim=1).shape[1] < together.shape[1]:
                self.unordered[_line()] += 1


_TO_COPY = aten._to_copy.default
_ON: list[PretendDevice] = []


def _device() -> PretendDevice:
    return _ON[-1]


def _is_pretended(device: Any) -> bool:
    """`x.to(other)` reads the other's device in C++, where it is `meta`."""
    return torch.device(device).type in ("cuda", "meta")


def _mapped(x: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """An argument or a result of an operation, its tensors changed."""
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, (list, tuple)):
        return type(x)(_mapped(each, change) for each in x)
    return x


def _share_memory(x: Tensor, known: Tensor) -> bool:
    held = known.held if isinstance(known, PretendTensor) else known
    return x.untyped_storage().data_ptr() == held.untyped_storage().data_ptr()


def _reshape(known: Tensor, as_: Tensor) -> None:
    """Give a wrapper the shape that an operation in place gave to what it holds."""
    with torch._C._DisableTorchDispatch():
        known.as_strided_(as_.shape, as_.stride(), as_.storage_offset())


def _is_unordered(func: Any, args: Sequence[Any]) -> bool:
    """Whether CUDA adds in any order, which the last bits of a sum depend on."""
    if func in _ADDS:
        return _repeats(args[2])
    return func in _SCATTERS or (func in _RUNNING and args[0].dtype.is_floating_point)


@cache
def _named(func: Any) -> frozenset[str]:
    return frozenset(each.name for each in func._schema.arguments)


def _repeats(index: Tensor) -> bool:
    held = index.held if isinstance(index, PretendTensor) else index
    return len(held.unique()) < len(held)


def _require_may_mix(func: Any, args: Sequence[Any], theirs: Sequence[Tensor]) -> None:
    """Refuse what CUDA refuses.

    Copies go from device to device. Indices may lie on the CPU. A single number on the CPU, without
    an axis, may be an operand where tensors are taken entry by entry.
    """
    is_ours = isinstance(args[0], PretendTensor)
    if func in _COPIES:
        return
    if func in _READS and is_ours:
        return
    if func in _PUTS and is_ours and (isinstance(args[2], PretendTensor) or not args[2].dim()):
        return
    writes = [
        arg.alias_info is not None and arg.alias_info.is_write for arg in func._schema.arguments
    ]
    written = [x for x, is_written in zip(args, writes, strict=False) if is_written]
    is_entrywise = torch.Tag.pointwise in func.tags and not any(x.dim() for x in theirs)
    if is_entrywise and all(isinstance(x, PretendTensor) for x in written):
        return
    raise RuntimeError(
        "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
        f"cpu! ({func} at {_line()})"
    )


def _as_tensors(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_as_tensor(one) for one in index)
    return _as_tensor(index)


def _as_tensor(index: Any) -> Any:
    if isinstance(index, np.ndarray):
        return torch.from_numpy(index)
    if not isinstance(index, (list, range)):
        return index
    numbers = [*index]
    return torch.tensor(numbers) if numbers else torch.zeros(0, dtype=torch.long)


def _line() -> str:
    """The innermost line of this package that is being carried out."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            return f"{frame.f_code.co_filename[len(_PACKAGE) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


def _on_the_device(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`torch.tensor`, which fills a tensor below all modes."""

    def made(*args: Any, device: Any = None, **more: Any) -> Tensor:
        found = make(*args, **more)
        return found if device is None else found.to(device)

    return made


def _loaded(folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """A model loaded on the CPU, with no device pretended meanwhile, and then moved."""
    with _disable_current_modes():
        model = _LOAD(folder, dtype, _CPU)
    return model.to(device)


_LOAD = weights.load_model


@contextmanager
def pretended() -> Generator[PretendDevice]:
    """One CUDA device is there, as far as torch and tracer can tell."""
    # The context `torch.device("meta")`, which transformers loads in, knows functions that make
    # tensors by being the same ones: it must have looked for them before they are replaced.
    torch.utils._device._device_constructors()
    device = PretendDevice()

    def emptied() -> None:
        device.n_emptied += 1

    replaced = {
        "tensor": _on_the_device(torch.tensor),
        "as_tensor": _on_the_device(torch.as_tensor),
        "cuda.is_available": lambda: True,
        "cuda.device_count": lambda: 1,
        "cuda.get_device_name": lambda device=None: NAME,
        "cuda.empty_cache": emptied,
        "cuda.mem_get_info": lambda device=None: (MEMORY, MEMORY),
        "cuda._lazy_init": lambda: None,
    }
    patches = [patch(f"torch.{name}", value) for name, value in replaced.items()]
    patches.append(patch.object(weights, "load_model", _loaded))
    for each in patches:
        each.start()
    _ON.append(device)
    try:
        with device:
            yield device
    finally:
        _ON.pop()
        for each in patches:
            each.stop()
