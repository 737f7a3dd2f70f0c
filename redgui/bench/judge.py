"""LPIPS and KID of a benchmark's pictures, computed from the 8-bit pictures that it has kept.

What is computed is kept, too: `judged-*.jsonl` has a line per job and network, `features/` the features, so that a killed run
goes on here as well and a network that was not at hand at first can be added later.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from redgui import images
from redgui.bench import rows as kept
from redgui.bench.plan import BenchError, Job, Picture
from redgui.bench.rows import Row
from redgui.metrics import perceptual
from redgui.metrics.perceptual import Missing, Network

METRICS = ("lpips", "kid")


@dataclass(frozen=True)
class Judges:
    """The networks that judge pictures.

    Each is a Network, a text that says why there is none (shown in place of its figures), or None where it was not asked for.
    """

    lpips: Network | str | None = None
    kid: Network | str | None = None

    @classmethod
    def named(cls, metrics: Sequence[str] | None, device: torch.device, h: int, w: int) -> "Judges":
        """Those of `metrics`, whose weights are fetched if they have to be; None: both, as far as they are on this machine.

        Args:
            h, w: of the pictures to be judged.

        Raises:
            BenchError: a metric that there is not.
        """
        if unknown := set(metrics or ()) - set(METRICS):
            raise BenchError(f"--metrics takes {' and '.join(METRICS)}; got {', '.join(sorted(unknown))}.")
        makers: dict[str, Callable[..., Network]] = {"lpips": perceptual.lpips, "kid": perceptual.inception}
        found: dict[str, Network | str] = {}
        for name in METRICS if metrics is None else metrics:
            try:
                found[name] = makers[name](device, fetch=metrics is not None)
            except Missing as error:
                found[name] = str(error)
        return cls(**found).for_size(h, w)

    def for_size(self, h: int, w: int) -> "Judges":
        """The same judges, without those networks that take no pictures as small as these."""
        changed = {}
        for name in METRICS:
            network = getattr(self, name)
            if isinstance(network, Network) and min(h, w) < network.side:
                changed[name] = f"{name.upper()} takes pictures of at least {network.side} pixels; these have {h}x{w}"
        return replace(self, **changed)

    @property
    def any(self) -> bool:
        """Whether there is a network at all, so that every restored picture is kept."""
        return isinstance(self.lpips, Network) or isinstance(self.kid, Network)

    @property
    def asked(self) -> str:
        """The names of those that there are."""
        return " and ".join(name.upper() for name in METRICS if isinstance(getattr(self, name), Network))

    def lines(self) -> list[str]:
        """What a report says of each that was asked for."""
        told = {name.upper(): getattr(self, name) for name in METRICS if getattr(self, name) is not None}
        return [f"{name}: {judge.name if isinstance(judge, Network) else f'n/a: {judge}'}" for name, judge in told.items()]


def restored(folder: Path, key: str) -> Path:
    """Where the restored picture of a job is kept."""
    return folder / "restored" / f"{key}.png"


def keep(folder: Path, key: str, estimate: Tensor) -> None:
    """Keeps a restored picture (1, 3, h, w); a killed run leaves none that is half written under its name."""
    part = restored(folder, key).with_suffix(".part")
    images.to_pil(estimate).save(part, "PNG")
    part.replace(restored(folder, key))


def features_of(folder: Path, network: Network, key: str) -> Path:
    """Where the features of a restored picture, or of `truth-<digest>`, are kept."""
    return folder / "features" / hashlib.sha256(network.name.encode()).hexdigest()[:12] / f"{key}.npy"


def judge(
    folder: Path, rank: int, jobs: dict[str, Job], judges: Judges, tell: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Asks the networks about the finished jobs, by key, that they have not seen yet."""
    good = {row["key"] for row in kept.read(folder) if "error" not in row}
    seen = _seen(folder)
    with kept.opened(folder / f"judged-{rank}.jsonl") as lines:
        missing = [(key, job) for key, job in jobs.items() if key in good and _lacks(folder, key, judges, seen)]
        for k, (key, job) in enumerate(missing):
            x = images.to_tensor(images.read(restored(folder, key)))
            if isinstance(judges.lpips, Network):
                truth = images.to_tensor(images.to_pil(job.picture.x))  # 8 bits, as x
                distance = float(judges.lpips.call(x, truth))
                lines.write(kept.as_line({"key": key, "lpips": distance, "network": judges.lpips.name}))
                lines.flush()
            if isinstance(judges.kid, Network):
                _features(folder, judges.kid, key, lambda x=x: x)
            tell(k + 1, len(missing))


def lacking(folder: Path, keys: Iterable[str], judges: Judges) -> int:
    """How many of the jobs are not finished, or not judged."""
    found = {row["key"]: "error" not in row for row in kept.read(folder)}
    seen = _seen(folder) if judges.any else {}
    return sum(key not in found or (found[key] and _lacks(folder, key, judges, seen)) for key in keys)


def with_lpips(folder: Path, rows: Iterable[Row], judges: Judges) -> list[Row]:
    """Rows with `lpips` and `lpips_network`: None and the reason where there is no network."""
    if judges.lpips is None:
        return list(rows)
    if isinstance(judges.lpips, str):
        return [row | {"lpips": None, "lpips_network": f"n/a: {judges.lpips}"} for row in rows]
    seen, name = _seen(folder), judges.lpips.name
    return [row | {"lpips": seen.get((row["key"], name)), "lpips_network": name} for row in rows]


def kids(folder: Path, rows: Iterable[Row], shown: Sequence[Picture], judges: Judges) -> dict[tuple, Row]:
    """KID of each setting against the truths of its pictures, by `rows.setting`: `kid`, `kid_std`, `kid_subset_size`,
    `kid_subsets`, and `kid_features`, which has the reason where there is none."""
    if judges.kid is None:
        return {}
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(kept.setting(row), []).append(row)
    found = {}
    for setting, members in groups.items():
        good = [row for row in members if "error" not in row]
        try:
            if isinstance(judges.kid, str):
                raise Missing(judges.kid)
            network = judges.kid
            truths = {}
            for index in sorted({row["index"] for row in good}):
                picture = shown[index]
                truths[picture.digest] = _features(folder, network, f"truth-{picture.digest}", lambda p=picture: p.x)
            if not good:
                raise Missing("no run of this setting has ended")
            estimates = torch.stack([_features(folder, network, row["key"], None) for row in good])
            result = perceptual.kid(estimates, torch.stack(list(truths.values())))
            found[setting] = {"kid": result.value, "kid_std": result.std, "kid_subset_size": result.subset_size,
                              "kid_subsets": result.subsets, "kid_features": network.name}  # fmt: skip
        except Missing as error:
            found[setting] = {"kid": None, "kid_std": None, "kid_subset_size": None, "kid_subsets": None,
                              "kid_features": f"n/a: {error}"}  # fmt: skip
    return found


def _features(folder: Path, network: Network, key: str, picture: Callable[[], Tensor] | None) -> Tensor:
    """The features (d,) from their file, or of the picture and into the file."""
    path = features_of(folder, network, key)
    if picture is not None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = network.call(picture())[0].float().cpu().numpy()
        part = path.with_suffix(".part")  # as in `keep`
        with part.open("wb") as file:
            np.save(file, found)
        part.replace(path)
    return torch.from_numpy(np.load(path, allow_pickle=False))


def _seen(folder: Path) -> dict[tuple[str, str], float]:
    """LPIPS by key and network."""
    return {(line["key"], line["network"]): line["lpips"] for line in kept.lines_of(folder, "judged")}


def _lacks(folder: Path, key: str, judges: Judges, seen: dict[tuple[str, str], float]) -> bool:
    if isinstance(judges.lpips, Network) and (key, judges.lpips.name) not in seen:
        return True
    return isinstance(judges.kid, Network) and not features_of(folder, judges.kid, key).exists()
