"""Less memory for more time, by the switches of `diffusers` and the hooks of `accelerate`.

`spare` is what `:memory=low` asks for. `place` needs no asking: a network whose weights leave no room on a GPU stays in the
machine's memory, and each layer goes to the GPU for its own call. There is one network, and encoders of texts are freed before
it is asked, so that moving whole models in turn would spare nothing.
"""

import logging
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from redgui import devices
from redgui.operators.tangent import PlainAttention

ROOM = 0.8  # of a device's free memory may be weights; what a call computes wants the rest
log = logging.getLogger(__name__)


def spare(model: Any, device: torch.device) -> None:
    """Switches on, of a model of `diffusers`, what it has of these.

    Gradient checkpointing: a block computes again in the backward pass what it did not keep (not where a second derivative goes
    through, which needs all of it more than once). Slicing: an autoencoder takes a
    picture of a batch at a time. Tiling: it takes a picture larger than it was trained on in tiles that fade over; of these
    three that alone is seen in results. Attention in slices: on MPS, since other devices' never holds its whole matrix.
    """
    if getattr(model, "_supports_gradient_checkpointing", False):
        model.enable_gradient_checkpointing(_checkpointed)
    if hasattr(model, "use_slicing"):
        model.enable_slicing()
    if hasattr(model, "use_tiling"):
        model.enable_tiling()
    if device.type == "mps" and hasattr(model, "set_attention_slice"):
        model.set_attention_slice("auto")


def _checkpointed(block: torch.nn.Module, *given: Any) -> Any:
    return block(*given) if PlainAttention.within() else checkpoint(block, *given, use_reentrant=False)


def place(net: torch.nn.Module, device: torch.device) -> bool:
    """Puts a network on a device, or where there is no room for it layer by layer; whether it is there whole."""
    weights = sum(p.numel() * p.element_size() for p in net.parameters())
    free = devices.free_memory(device)
    if free is None or weights <= ROOM * free:
        net.to(device)
        return True
    log.warning("weights of %.1f GB go to %s layer by layer, which has %.1f GB free", weights / 1e9, device, free / 1e9)
    offload(net, device)
    return False


def offload(net: torch.nn.Module, device: torch.device) -> None:
    """Each layer's weights go to a device for its own call, and are on no device in between."""
    from accelerate import cpu_offload

    cpu_offload(net, execution_device=device, offload_buffers=False)
