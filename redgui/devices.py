"""Where a network computes, and what that device can do. All that depends on the kind of device is asked here.

On a CPU or CUDA everything lies on one device. Apple's MPS and Intel's XPU have no float64, and MPS no complete complex
arithmetic, which operators, samplers and closed-form priors work with: there the network alone is on the device, and its
pictures go to it and come back at each call (`home`). CUDA graphs (`redgui.priors.graphs`) are CUDA's alone.
"""

import logging
import platform
import re
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from redgui.knobs import KnobError

NAMES = "auto, cpu, cuda, cuda:N, mps, xpu"
NETWORK_ONLY = ("mps", "xpu")  # kinds of device that have the network, and nothing else
HALF = ("cuda", *NETWORK_ONLY)  # that multiply fp16 faster than fp32
NEAR = 1e-2  # of `agrees`, in units of the output's largest number: TF32 and fp32 kernels are well within
log = logging.getLogger(__name__)


class DeviceError(KnobError):
    """A device that there is not, or a name of none."""


def checked(name: str) -> str:
    """The name of a device, as it is given: one of `NAMES`. Raises DeviceError."""
    if not isinstance(name, str) or re.fullmatch(r"auto|cpu|mps|xpu|cuda(:\d{1,3})?", name) is None:
        raise DeviceError(f"--device is one of {NAMES}; got {str(name)[:20]!r}.")
    return name


def device_of(name: str = "auto") -> torch.device:
    """The device of a name. `auto` is CUDA, else XPU or MPS where a small network has the CPU's numbers there, else the CPU.

    Raises DeviceError where there is no such device.
    """
    kind, _, index = checked(name).partition(":")
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "auto":
        others = (torch.device(other) for other in NETWORK_ONLY if available(other))
        return torch.device("cuda") if available("cuda") else next(filter(agrees, others), torch.device("cpu"))
    if not available(kind):
        raise DeviceError(f"{kind.upper()} was asked for, but torch sees no {kind.upper()} device; use --device cpu or auto.")
    if index and int(index) >= (count := torch.cuda.device_count()):
        raise DeviceError(f"{name} was asked for, but torch sees {count} CUDA device(s), of which the first is cuda:0.")
    return torch.device(name)


def available(kind: str) -> bool:
    """Whether torch sees a device of a kind: cuda, mps or xpu."""
    found: Any = torch.backends.mps if kind == "mps" else getattr(torch, kind, None)
    return found is not None and bool(found.is_available())


def home(device: torch.device) -> torch.device:
    """Where all but the network is, when that is on `device`: there, or the CPU."""
    return torch.device("cpu") if device.type in NETWORK_ONLY else device


@lru_cache
def agrees(device: torch.device) -> bool:
    """Whether what networks are made of has the CPU's numbers on a device; a failure is no error, but a line in the log."""
    x, kernel = torch.linspace(-2, 2, 512).sin().view(1, 8, 8, 8), torch.linspace(-1, 1, 576).cos().view(8, 8, 3, 3)

    def small(where: torch.device) -> torch.Tensor:
        a, k = (v.to(where).contiguous(memory_format=torch.channels_last) for v in (x, kernel))
        a = nn.functional.silu(nn.functional.group_norm(nn.functional.conv2d(a, k, padding=1), 4))
        rows = a.flatten(2).transpose(1, 2).unsqueeze(1)
        return nn.functional.scaled_dot_product_attention(rows, rows, rows).cpu()

    try:
        with torch.no_grad():
            want = small(torch.device("cpu"))
            if bool((small(device) - want).abs().max() <= NEAR * want.abs().max()):
                return True
        said = "its numbers are not those of the CPU"
    except Exception as error:
        said = str(error)
    log.warning("%s is left aside for the CPU: %s", device, said)
    return False


def precision_of(name: str, device: torch.device) -> str:
    """`auto`: bf16 where the hardware multiplies it, else fp16 on a GPU and fp32 on a CPU.

    A forward of the bundled prior takes 0.55 to 0.75 of its time in bf16; a pass back through the network gains nothing on a
    CPU (DPS: 1.02 of its time), and a second copy of the weights in fp32 for it alone would not pay.
    """
    if name not in ("auto", "fp32", "bf16", "fp16"):
        raise DeviceError(f"the precision is auto, fp32, bf16 or fp16; got {name!r}.")
    if name != "auto":
        return name
    return "bf16" if has_bf16(device) else "fp16" if device.type in HALF else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bf16: there it is faster than fp32, elsewhere it is emulated. MPS counts as without."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "xpu":
        return bool(torch.xpu.is_bf16_supported())
    return device.type == "cpu" and cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 natively; torch asks it by names that may change, and unknown means no."""
    asked = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    try:
        if platform.machine() in ("aarch64", "arm64"):  # there alone: on other processors this also says yes to emulation
            return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        return any(ask() for ask in asked if callable(ask))
    except Exception:
        return False


def has_graphs(device: torch.device) -> bool:
    """Whether a network's launches can be kept there and made again in one call (`redgui.priors.graphs`)."""
    return device.type == "cuda"


def generators(device: torch.device) -> list[torch.device]:
    """The devices whose global generator `torch.random.fork_rng` is to keep for what is computed there, beside the CPU's."""
    return [device] if device.type == "cuda" else []


def take_cuda(index: int) -> None:
    """Makes one GPU that which `cuda` means in this process; they are counted round."""
    if available("cuda"):
        torch.cuda.set_device(index % torch.cuda.device_count())


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had of a device's own memory; None where it has none of its own, or does not tell."""
    kind: Any = getattr(torch, device.type, None)
    if device.type not in ("cuda", "xpu") or not hasattr(kind, "mem_get_info"):
        return None
    try:
        return int(kind.mem_get_info(device)[0]) + kind.memory_reserved(device) - kind.memory_allocated(device)
    except Exception:  # a driver that does not tell
        return None


def empty_cache(device: torch.device) -> None:
    """Gives what torch keeps of a device's memory for later back to it."""
    if device.type != "cpu":
        getattr(torch, device.type).empty_cache()
