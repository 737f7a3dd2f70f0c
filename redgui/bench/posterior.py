"""Which samplers draw from the posterior: small pictures of closed-form priors, for which it is known exactly.

    for row in measure(["reddiff", "daps"], draws=512): ...

A prior sum_k w_k N(m_k, C) and y = A x + sigma_y n have the posterior sum_k v_k N(a_k, P) with

    K = C A^T (A C A^T + sigma_y^2)^-1,  a_k = m_k + K (y - A m_k),  P = C - K A C,  v_k ~ w_k N(y; A m_k, A C A^T + sigma_y^2)

Beside every sampler stands `exact`, whose draws are the posterior's own: what it shows is chance. Fidelity to the posterior and
likeness to the truth are different things (arXiv 2602.04189 measures the former, by Stein discrepancies among others).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redgui import knobs, operators
from redgui.bench.plan import BenchError
from redgui.metrics.stein import ksd
from redgui.operators import LinearOperator
from redgui.priors import GaussianPrior, MixturePrior, Prior
from redgui.randomness import MEASUREMENT, Generators
from redgui.samplers import SAMPLERS, Sampler

SIDE, SIGMA_Y = 8, 0.2
TASKS = ("inpaint:kind=half,fraction=0.5", "superres:factor=2", "denoise")
EXACT = "exact"
CHANCE = 100  # sets of exact draws, whose discrepancies say what chance does


def field() -> GaussianPrior:
    """A Gaussian field: one mode."""
    return GaussianPrior(size=SIDE, channels=1)


def modes() -> MixturePrior:
    """Four modes: two pictures of the left half, each with two of the right, so that either half leaves two of them open."""
    ramp = torch.linspace(-0.6, 0.6, SIDE // 2)
    left, right = ramp[:, None].repeat(2, SIDE // 2), ramp[None, :].repeat(SIDE, 1)
    means = [torch.cat([a * left, b * right], 1)[None] for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    return MixturePrior(torch.stack(means), 0.15, torch.tensor([0.2, 0.3, 0.15, 0.35]), name="four-modes")


@dataclass(frozen=True)
class Posterior:
    """sum_k weights_k N(means_k, covariance): means (k, d), covariance (d, d), weights (k,), all float64."""

    means: Tensor
    covariance: Tensor
    weights: Tensor

    @classmethod
    def of(cls, prior: Prior, H: LinearOperator, y: Tensor, sigma_y: float) -> "Posterior":
        """The exact one of y (1, ...), sigma_y > 0, for the two priors of closed form."""
        c, h, w = prior.picture_shape
        d = c * h * w
        basis = torch.eye(d, dtype=torch.float64).reshape(d, c, h, w)
        if isinstance(prior, GaussianPrior):
            C = torch.fft.ifft2(prior.spectrum(h, w) * torch.fft.fft2(basis)).real.reshape(d, d)
            means, weights = torch.full((1, d), prior.mean, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        elif isinstance(prior, MixturePrior):
            C = prior.std**2 * torch.eye(d, dtype=torch.float64)
            means, weights = prior.means.double().flatten(1), prior.weights.double()
        else:
            raise BenchError(f"the posterior is known for the priors gaussian and mixture; got {prior.name}.")
        A = H(basis).reshape(d, -1).T
        S = A @ C @ A.T + sigma_y**2 * torch.eye(len(A), dtype=torch.float64)
        K = torch.linalg.solve(S, A @ C).T
        r = y.double().flatten() - means @ A.T
        v = (weights.log() - (r * torch.linalg.solve(S, r.T).T).sum(1) / 2).softmax(0)
        P = C - K @ A @ C
        return cls(means + r @ K.T, (P + P.T) / 2, v)

    @cached_property
    def mean(self) -> Tensor:
        """(d,), the MMSE estimate."""
        return self.weights @ self.means

    @cached_property
    def total(self) -> Tensor:
        """The covariance of all modes together, (d, d)."""
        off = self.means - self.mean
        return self.covariance + off.T @ (self.weights[:, None] * off)

    def logits(self, x: Tensor) -> Tensor:
        """log weight and log density of every mode at x (n, d), up to a constant: (n, k)."""
        off = x[:, None] - self.means
        solved = torch.linalg.solve(self.covariance, off.flatten(0, 1).T).T.view_as(off)
        return self.weights.log() - (off * solved).sum(2) / 2

    def score(self, x: Tensor) -> Tensor:
        """grad log p(x | y) at x (n, d)."""
        near = self.logits(x).softmax(1) @ self.means
        return torch.linalg.solve(self.covariance, (near - x).T).T

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, d), exact."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, len(self.mean), dtype=torch.float64, generator=generator)
        return self.means[k] + z @ torch.linalg.cholesky(self.covariance).T

    def judged(self, x: Tensor) -> dict[str, float]:
        """Draws x (n, d) compared with it.

        `gap`: the rms distance of their mean from the exact one over the rms posterior std, 1/sqrt(n) by chance; `spread`: the
        rms std of the draws over the exact one; `ksd`: KSD^2, scaled so that the posterior has unit covariance; `modes`: total
        variation of the shares of the modes, 0 to 1.
        """
        x = x.double()
        std = self.total.diagonal().mean().sqrt()
        root = torch.linalg.cholesky(self.total)
        z = torch.linalg.solve_triangular(root, (x - self.mean).T, upper=False).T
        shares = self.logits(x).softmax(1).mean(0)
        return {
            "gap": float((x.mean(0) - self.mean).square().mean().sqrt() / std),
            "spread": float(x.var(0).mean().sqrt() / std),
            "ksd": ksd(z, self.score(x) @ root),
            "modes": float((shares - self.weights).abs().sum() / 2),
        }


@dataclass(frozen=True)
class Case:
    """A prior, an operator and one measurement of a draw of the prior, made from the seed."""

    prior: Prior
    H: LinearOperator
    y: Tensor
    seed: int

    @classmethod
    def made(cls, prior: GaussianPrior | MixturePrior, spec: str, seed: int) -> "Case":
        H = operators.build(spec).placed(SIDE, SIDE)
        if not isinstance(H, LinearOperator):
            raise BenchError(f"the posterior is known for linear operators; got {spec}.")
        generator = torch.Generator().manual_seed(seed)
        if isinstance(prior, GaussianPrior):
            x = prior.sample(1, generator)
        else:
            k = int(torch.multinomial(prior.weights, 1, generator=generator))
            x = prior.means[k : k + 1] + prior.std * torch.randn(1, *prior.shape, generator=generator)
        y = H(x)
        return cls(prior, H, y + SIGMA_Y * H.on_support(Generators.of_run(seed, 1, MEASUREMENT).randn_like(y)), seed)

    @cached_property
    def posterior(self) -> Posterior:
        return Posterior.of(self.prior, self.H, self.y, SIGMA_Y)

    def draws(self, sampler: Sampler, n: int) -> Tensor:
        """(n, d): what the sampler ends at from n streams of random numbers."""
        y = self.y.expand(n, *self.y.shape[1:]).clone()
        *_, step = sampler(self.prior, self.H, y, SIGMA_Y, generator=Generators.of_run(self.seed, n))
        return step.x0_hat.flatten(1)


def contestants(specs: Sequence[str]) -> list[Sampler]:
    """Samplers with the knobs of their classes, `all` for all that have a random number in them, and clipping off: the priors'
    pictures are not bounded."""
    found = []
    for spec in specs:
        for one in [cls.name for cls in SAMPLERS if cls.learned] if spec == "all" else [spec]:
            name, settings = knobs.parse(one)
            cls = knobs.find(SAMPLERS, name, "sampler")
            unbounded = {"clip": False} if any(k.name == "clip" and k.kind is bool for k in knobs.knobs(cls)) else {}
            found.append(knobs.build(cls, unbounded | settings))
    return found


def measure(
    specs: Sequence[str] = ("all",),
    tasks: Sequence[str] = TASKS,
    draws: int = 512,
    seeds: int = 4,
    watch: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """A row per prior, operator and sampler: means over `seeds` of `Posterior.judged`, each with the standard error
    `<name>_se`, and `ksd_chance`, the KSD^2 that 95 % of sets of exact draws stay below.

    Raises:
        BenchError: too few draws or seeds. KnobError: there is no such sampler or knob.
    """
    if draws < 8 or seeds < 2:
        raise BenchError(f"a comparison with the posterior needs 8 draws and 2 seeds at least; got {draws} and {seeds}.")
    samplers = contestants(specs)
    rows = []
    for prior in (field(), modes()):
        for spec in tasks:
            cases = [Case.made(prior, spec, seed) for seed in range(seeds)]
            sets = [
                case.posterior.judged(case.posterior.draw(draws, torch.Generator().manual_seed(k)))
                for k in range(CHANCE // seeds) for case in cases
            ]  # fmt: skip
            chance = float(torch.tensor([one["ksd"] for one in sets]).quantile(0.95))
            shared = {"prior": prior.name, "operator": spec, "ksd_chance": chance}
            rows.append(shared | {"sampler": EXACT} | over(sets))
            for sampler in samplers:
                if sampler.fits(cases[0].H):
                    found = [case.posterior.judged(case.draws(sampler, draws)) for case in cases]
                    rows.append(shared | {"sampler": knobs.spec(sampler)} | over(found))
                    watch(rows[-1])
    return rows


def over(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean and the standard error of each figure."""
    summed: dict[str, float] = {}
    for name in found[0]:
        values = torch.tensor([one[name] for one in found], dtype=torch.float64)
        summed |= {name: float(values.mean()), f"{name}_se": float(values.std() / len(values) ** 0.5)}
    return summed


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown; the KSD^2 of one that chance does not explain is bold."""
    lines = ["| prior | operator | sampler | gap | spread | KSD² | modes |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [f"{row[name]:.3g} ± {row[f'{name}_se']:.1g}" for name in ("gap", "spread", "ksd", "modes")]
        if row["ksd"] > row["ksd_chance"]:
            cells[2] = f"**{cells[2]}**"
        lines.append(f"| {row['prior'].partition(':')[0]} | `{row['operator']}` | `{row['sampler']}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def picture(specs: Sequence[str], path: Path, draws: int = 512) -> None:
    """Writes where each sampler's draws lie between the two modes that half a picture leaves open, over the exact density."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    case = Case.made(modes(), TASKS[0], 0)
    exact = case.posterior
    first, second = exact.weights.argsort(descending=True)[:2].tolist()
    along = exact.means[second] - exact.means[first]
    samplers = [one for one in contestants(specs) if one.fits(case.H)]
    sets = {EXACT: exact.draw(draws, torch.Generator().manual_seed(0))}
    sets |= {sampler.label: case.draws(sampler, draws).double() for sampler in samplers}
    bins = torch.linspace(-0.5, 1.5, 41).tolist()

    def place(x: Tensor) -> list[float]:
        return ((x - exact.means[first]) @ along / along.square().sum()).clamp(-0.5, 1.5).tolist()

    reference = place(exact.draw(50_000, torch.Generator().manual_seed(1)))
    columns = 5
    lines = -(-len(sets) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(2 * columns, 1.5 * lines), sharex=True, squeeze=False)
    for ax in axes.flat[len(sets) :]:
        ax.axis("off")
    for ax, (label, x) in zip(axes.flat, sets.items(), strict=False):
        ax.hist(place(x), bins=bins, density=True, color="#c44e52")
        ax.hist(reference, bins=bins, density=True, histtype="step", color="black")
        ax.set_title(label, fontsize=8)
        ax.set_yticks([])
        ax.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
