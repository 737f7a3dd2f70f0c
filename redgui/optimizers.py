"""torch's optimisers, without `torch.compile`: their wrappers would import `torch._dynamo` at the first step.

That takes as long as importing torch itself and serves nothing here: the wrappers keep a compiler away. The steps are torch's
own, to the bit.
"""

import inspect
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.optim import Optimizer

Made = Callable[[list[Tensor], float], Optimizer]


@cache
def plain(kind: type[Optimizer]) -> type[Optimizer]:
    """A class of `torch.optim` whose steps and groups are without wrappers."""
    methods = {
        "add_param_group": inspect.unwrap(kind.add_param_group),
        "step": torch.no_grad()(inspect.unwrap(kind.step)),
    }
    return type(kind.__name__, (kind,), methods)


def made(kind: type[Optimizer], **options: object) -> Made:
    """made(kind, **options)([mu], lr): an optimiser of mu."""
    return lambda p, lr: plain(kind)(p, lr, **options)  # type: ignore


OPTIMIZERS: dict[str, Made] = {
    "adam": made(torch.optim.Adam, betas=(0.9, 0.99)),  # the paper's
    "nadam": made(torch.optim.NAdam, betas=(0.9, 0.99)),
    "radam": made(torch.optim.RAdam, betas=(0.9, 0.99)),
    "adamax": made(torch.optim.Adamax, betas=(0.9, 0.99)),
    "rmsprop": made(torch.optim.RMSprop),
    "adagrad": made(torch.optim.Adagrad),
    "momentum": made(torch.optim.SGD, momentum=0.9, nesterov=True),
    "sgd": made(torch.optim.SGD),
}
