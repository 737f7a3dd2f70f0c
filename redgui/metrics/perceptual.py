"""Networks that judge restored pictures: LPIPS on pairs, KID on two sets of features.

LPIPS comes along (`redgui.metrics.lpips`). Inception's weights are not redgui's: `inception` gives it where the packages and
the weights are at hand, or may be fetched, and else raises Missing with one line that says what is lacking. Nothing stands in
for it, and every figure goes with the network's name and the version of its library.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from redgui import images
from redgui.errors import RedguiError, in_short
from redgui.metrics import lpips as boxed

PIP = 'pip install "torchmetrics[image]>=1.8,<2"'
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity names the file that it fetches
SUBSETS = 100


class Missing(RedguiError):
    """A network that cannot be had on this machine; the message says what it lacks."""


@dataclass(frozen=True)
class Network:
    """A judge by its name, with the library and its version.

    Attributes:
        call: of LPIPS a function of two batches (b, 3, h, w) in [-1, 1], giving (b,); of features one of one batch, (b, d).
        side: of the smallest pictures that it takes.
    """

    name: str
    call: Callable[..., Tensor]
    side: int = 1


def lpips(device: torch.device | str = "cpu", fetch: bool = False) -> Network:
    """LPIPS (`redgui.metrics.lpips`) as a judge; its weights come along."""

    def distance(x: Tensor, x_true: Tensor) -> Tensor:
        return boxed.lpips(x.to(device), x_true)

    return Network(boxed.NAME, distance, boxed.SIDE)


def lpips_of(x: Tensor, x_true: Tensor | None) -> float | None:
    """LPIPS of a picture (1, c, h, w) to the truth; None without one, and for pictures that are too small for it."""
    if x_true is None or min(x.shape[-2:]) < boxed.SIDE:
        return None
    return float(boxed.lpips(x, x_true))


def inception(device: torch.device | str = "cpu", fetch: bool = False) -> Network:
    """The 2048 pooled features of the Inception v3 that FID and KID are quoted with (2015-12-05). Raises Missing."""
    if (lacks := packages_missing("KID", "torchvision", "torch_fidelity")) is not None:
        raise Missing(lacks)
    path = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION
    if not (path.exists() or fetch):
        raise Missing(f"KID needs Inception's weights at {path}; `bench --metrics kid` fetches them")
    net = _had("Inception's weights", _inception).to(device)

    @torch.no_grad()
    def features(x: Tensor) -> Tensor:
        pixels = torch.cat([torch.from_numpy(images.to_uint8(x[k : k + 1])).permute(2, 0, 1)[None] for k in range(len(x))])
        return net(pixels.to(device))[0].float().cpu()

    return Network(f"Inception v3 (2015-12-05), pool 2048, torch-fidelity {version('torch-fidelity')}", features)


def _inception() -> torch.nn.Module:
    extractor = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    return extractor.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).eval()


def _had(what: str, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The network with its weights; whatever the libraries and a fetch can raise becomes Missing."""
    try:
        return make()
    except Exception as error:  # no network, a damaged file, packages that do not fit each other
        raise Missing(f"{what} cannot be had: {type(error).__name__}: {in_short(error, 160)}") from None


def packages_missing(metric: str, *packages: str) -> str | None:
    """What a metric's packages lack on this machine, None if nothing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return f"{metric} needs the package {package}, which is not installed: {PIP}"
    try:
        importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # one that was built for another torch
        return f"{metric} needs a torchvision that fits torch {torch.__version__}: {in_short(error, 120)}"
    return None


@dataclass(frozen=True)
class Kid:
    """A kernel inception distance: mean and standard deviation over random subsets of one size."""

    value: float
    std: float
    subset_size: int
    subsets: int = SUBSETS


def kid(features: Tensor, features_true: Tensor, subset_size: int | None = None, subsets: int = SUBSETS, seed: int = 0) -> Kid:
    """KID (Binkowski et al. 2018, arXiv 1801.01401): the unbiased MMD^2 with the kernel (a.b / d + 1)^3, mean over subsets.

    Args:
        features, features_true: (n, d) and (m, d).
        subset_size: drawn from each side without replacement; half of the smaller side and at most 1000 where None, since
            the std over subsets that are nearly everything would be nearly zero.

    Raises:
        Missing: fewer than 2 pictures in a subset, or more than there are.
    """
    fewest = min(len(features), len(features_true))
    size = min(1000, fewest // 2) if subset_size is None else subset_size
    if not 2 <= size <= fewest:
        raise Missing(
            f"KID needs subsets of at least 2 pictures and at most all {fewest}, and by itself takes half; got {size}"
        )
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(subsets):
        x, y = (f[torch.randperm(len(f), generator=generator)[:size]] for f in (features, features_true))
        found.append(mmd2(x, y))
    values = torch.stack(found)
    return Kid(float(values.mean()), float(values.std(unbiased=False)), size, subsets)


def mmd2(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased estimate of MMD^2 between (n, d) and (m, d), kernel (a.b / d + 1)^3, in float64 (eq. 4 of the KID paper)."""
    x, y = x.double(), y.double()
    n, m = len(x), len(y)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    xx, yy = kernel(x, x), kernel(y, y)
    same = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1))
    return same - 2 * kernel(x, y).mean()
