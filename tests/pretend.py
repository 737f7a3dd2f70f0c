"""A pretend GPU: CPU tensors that say they lie on cuda:0 or mps:0, so that device mistakes show on a machine without one.

    with pretend() as traffic:                  # or pretend("mps"), pretend(major=7), pretend(fail_capture=True)
        prior = priors.load("faces-64", "cuda")
    traffic["h2d"], traffic["d2h"], traffic["waits"], traffic["captures"], traffic["replays"]

As on a device there raise: a CPU tensor that meets one of the device in an operation (a number of no dimension may, and indices
may; copies go across); `.numpy()` of a device tensor; a CPU generator that is to draw there; pickling. `d2h` counts as a wait,
like whatever reads a value. With mps, float64 and complex numbers raise, too. While a CUDA graph is captured, whatever waits
raises, a second capture breaks both, and one that fails leaves its thread on the capture's stream, as torch does. A graph is a
list of operations that are made again into the captured tensors: stale inputs and overwritten outputs show.

What it is not: the arithmetic is the CPU's, streams order nothing, memory does not run out, autocast is the CPU's. A second
derivative through GroupNorm fails without reason, `autograd.grad` takes a `grad_outputs` of the CPU, and so does what torch
composes in C++ with tensors of its own making (`WHOLE` has those that were met). One `pretend()` at a time.

How: a wrapper subclass holds the CPU tensor. Its C++ device is the CPU, so that autograd works; its Python `device` is the
device's. What makes or moves tensors in `torch` is replaced while it lasts, in all threads.
"""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from pretend_cuda import DEFAULT, Generator, capturing, cuda, mapped, now, thread, traffic, waits
from torch.utils._pytree import tree_flatten

READS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "_unique2", "unique_dim", "item", "allclose"}
ACROSS = {"copy_", "_copy_from"}
INDEXED = {"index", "index_put_", "index_put", "_index_put_impl_", "_unsafe_index"}
MAKERS = ("zeros", "ones", "empty", "full", "arange", "linspace", "logspace", "eye", "rand", "randn", "randint", "randperm",
          "normal", "tensor", "as_tensor", "asarray", "scalar_tensor", "empty_strided", "zeros_like", "ones_like", "empty_like",
          "full_like", "rand_like", "randn_like", "hann_window", "tril_indices", "triu_indices")  # fmt: skip
FROM_DATA = ("tensor", "as_tensor", "asarray")
WHOLE = ((torch, "quantile"), (torch, "nanquantile"), (torch.nn.functional, "one_hot"))
LACKING = {torch.float64, torch.complex64, torch.complex128}  # on MPS


class MixedDevices(RuntimeError):
    """Tensors of two devices in one operation."""


class Pretend(torch.Tensor):
    """A tensor of the device, around one of the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore

    @staticmethod
    def __new__(cls, elem: torch.Tensor, requires_grad: bool = False):
        if isinstance(elem, Pretend):
            return elem
        if elem.dtype in now.lacking:
            raise TypeError(f"Cannot convert a MPS Tensor to {elem.dtype}: the MPS framework doesn't support it.")
        made = torch.Tensor._make_wrapper_subclass(  # pyright: ignore
            cls, elem.size(), strides=elem.stride(), storage_offset=elem.storage_offset(), dtype=elem.dtype,
            layout=elem.layout, device=elem.device, requires_grad=requires_grad,
        )  # fmt: skip
        made.elem = elem
        return made

    device = property(lambda self: now.device)
    is_cuda = property(lambda self: now.device.type == "cuda")
    is_cpu = property(lambda self: False)

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"can't convert {now.device} device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def tolist(self) -> Any:
        waits("tolist")
        return self.elem.detach().tolist()

    def new_tensor(self, data: Any, **kwargs: Any) -> torch.Tensor:
        return torch.tensor(data, **{"dtype": self.dtype, "device": now.device, **kwargs})

    def quantile(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return Pretend(self.elem.quantile(*args, **kwargs))

    def __repr__(self, **kwargs: Any) -> str:
        return f"Pretend({self.elem.detach()!r})"

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec) if self.ndim else format(self.item(), spec)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pretend":
        made = memo[id(self)] = Pretend(self.elem.detach().clone(), self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            made._is_param = True
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("a tensor of the device is pickled: a process without the device could not read it")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        given: list[torch.Tensor] = []

        def bare(v: Any) -> Any:
            if not isinstance(v, torch.Tensor):
                return v
            given.append(v)
            return v.elem if isinstance(v, Pretend) else v

        a, k = mapped(bare, (args, kwargs))
        ours = {id(v.elem): v for v in given if isinstance(v, Pretend)}
        if host := [v for v in given if not isinstance(v, Pretend)]:
            _check(func, name, args, host)
        if name in READS:
            waits(name)
        to_host = name == "copy_" and not isinstance(args[0], Pretend)
        if name == "copy_" and isinstance(args[0], Pretend) != isinstance(args[1], Pretend):
            _copies("d2h" if to_host else "h2d")
        if isinstance(k.get("device"), torch.device):
            k["device"] = torch.device("cpu")
        out = func(*a, **k)
        if (capture := capturing()) is not None:
            capture.calls.append((func, a, k, out))

        def back(v: Any) -> Any:
            if to_host or not isinstance(v, torch.Tensor):
                return v
            return ours[id(v)] if id(v) in ours else Pretend(v)

        return mapped(back, out)


def _check(func: Any, name: str, args: tuple[Any, ...], host: list[torch.Tensor]) -> None:
    """Raises MixedDevices where `host`, tensors of the CPU, may not be in an operation with those of the device."""
    numbers = all(v.ndim == 0 for v in host)
    if name in ACROSS or (numbers and name in ("fill_", "fill")):
        return
    if name in INDEXED:
        host = [v for v in host if v.ndim and any(v is w for w in (args[0], *args[2:3]))]
        if not host and isinstance(args[0], Pretend):
            return
    elif numbers and (torch.Tag.pointwise in func.tags or name.startswith("_foreach")):
        writes = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
        if not writes or isinstance(args[0], Pretend | list):
            return
    raise MixedDevices(
        f"Expected all tensors to be on the same device, but found at least two devices, {now.device} and cpu! "
        f"(aten::{name}, on the CPU: {[tuple(v.shape) for v in host]})"
    )


def _copies(way: str) -> None:
    traffic[way] += 1
    if way == "d2h" or capturing() is not None:
        waits(f"copy {way}")


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.here = isinstance(x, Pretend)
        return _moved(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0] if isinstance(grads[0], Pretend) == ctx.here else _moved(grads[0])


@torch.no_grad()
def _moved(x: torch.Tensor) -> torch.Tensor:
    _copies("d2h" if isinstance(x, Pretend) else "h2d")
    if isinstance(x, Pretend):
        return x.elem.detach().clone(memory_format=torch.preserve_format)
    return Pretend(x.detach().clone(memory_format=torch.preserve_format))


def on(x: torch.Tensor, device: Any) -> torch.Tensor:
    """x on a device."""
    if _is_ours(device) == isinstance(x, Pretend):
        return x
    return _Move.apply(x) if x.requires_grad and torch.is_grad_enabled() else _moved(x)  # pyright: ignore


def _is_ours(device: Any) -> bool:
    return device is not None and (isinstance(device, int) or torch.device(device).type == now.device.type)


# ---- what stands in for torch's own


def _to(original: Callable[..., Any]) -> Callable[..., Any]:
    def to(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        other = kwargs.pop("other", None)
        kwargs.pop("non_blocking", None)
        for value in (*args, other):
            if isinstance(value, torch.Tensor):
                device, dtype = value.device, value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif value is not None and not isinstance(value, bool):
                device = value
        rest = ({"dtype": dtype} if dtype is not None else {}) | {k: v for k, v in kwargs.items() if v is not None}
        here = isinstance(self, Pretend)
        if device is not None and _is_ours(device) != here and not here:
            self = original(self, dtype) if dtype is not None else self  # converted, then copied there
            return original(on(self, device), **{k: v for k, v in rest.items() if k != "copy"}) if rest else on(self, device)
        if here and dtype in now.lacking:
            raise TypeError(f"Cannot convert a MPS Tensor to {dtype}; copy it to the CPU first.")
        self = self if device is None else on(self, device)
        return original(self, **rest) if rest else self

    return to


def _maker(original: Callable[..., Any]) -> Callable[..., Any]:
    name = original.__name__

    @functools.wraps(original)
    def make(*args: Any, **kwargs: Any) -> Any:
        device = kwargs.pop("device", None)
        generator = kwargs.get("generator")
        if isinstance(generator, torch.Generator) and _is_ours(device) != _is_ours(generator.device):
            raise RuntimeError(f"Expected a {device or 'cpu'!s} device type for generator but found {generator.device.type!r}")
        like = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if name in FROM_DATA and like is not None:
            made = like.to(kwargs.get("dtype") or like.dtype) if isinstance(like, Pretend) else original(*args, **kwargs)
            return made if device is None else on(made, device)
        made = original(*args, **kwargs)
        if like is not None:
            return made if device is None else on(made, device)
        if not _is_ours(device) or isinstance(made, Pretend):
            return made
        if name in FROM_DATA:
            _copies("h2d")
        return Pretend(made.detach(), made.requires_grad)

    return make


def _whole(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = [v for v in tree_flatten((args, kwargs))[0] if isinstance(v, torch.Tensor)]
        if not any(isinstance(v, Pretend) for v in given):
            return original(*args, **kwargs)
        if any(not isinstance(v, Pretend) and v.ndim for v in given):
            raise MixedDevices(f"Expected all tensors to be on the same device ({original.__name__})")
        args, kwargs = mapped(lambda v: v.elem if isinstance(v, Pretend) else v, (args, kwargs))
        return Pretend(original(*args, **kwargs))

    return call


@contextlib.contextmanager
def pretend(kind: str = "cuda", major: int = 8, fail_capture: bool = False) -> Iterator[Counter[str]]:
    """Within, there is one device of a kind, cuda (of compute capability `major`.0) or mps; yields its traffic."""
    now.device, now.lacking = torch.device(kind, 0), LACKING if kind == "mps" else set()
    now.fail, now.capture, thread.stream = fail_capture, None, DEFAULT
    traffic.clear()
    real_autocast, real_save, real_to = torch.autocast, torch.save, torch.Tensor.to
    torch.cuda._check_bf16_tensor_supported.cache_clear()  # of another `major`
    with contextlib.ExitStack() as stack:

        def put(where: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(where, name, value))

        for name in MAKERS:
            put(torch, name, _maker(getattr(torch, name)))
        for name in ("fftfreq", "rfftfreq"):
            put(torch.fft, name, _maker(getattr(torch.fft, name)))
        for where, name in WHOLE:
            put(where, name, _whole(getattr(where, name)))
        if kind == "cuda":
            for name, value in cuda(major).items():
                put(torch.cuda, name, value)
        else:
            put(torch.backends.mps, "is_available", lambda: True)
            put(torch.backends.mps, "is_built", lambda: True)
            put(torch.mps, "empty_cache", lambda: None)
        put(torch, "Generator", Generator)

        def autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
            return real_autocast("cpu" if device_type == kind else device_type, *args, **kwargs)

        put(torch, "autocast", autocast)
        host = functools.partial(mapped, lambda v: v.elem.detach() if isinstance(v, Pretend) else v)
        put(torch, "save", lambda what, *a, **k: real_save(host(what), *a, **k))
        put(torch.Tensor, "to", _to(real_to))
        put(torch.Tensor, "cpu", lambda self: on(self, "cpu"))
        put(torch.Tensor, "cuda", lambda self, *_: on(self, "cuda"))
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion,
                       torch.__future__.get_overwrite_module_params_on_conversion())  # fmt: skip
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            yield traffic
        finally:
            torch.cuda._check_bf16_tensor_supported.cache_clear()
