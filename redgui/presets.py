"""Tuned knobs per prior, sampler and operator: what a first click or a bare command uses.

Where each comes from, and what it was measured against, stands in docs/presets.md; `python benchmarks/tune.py` finds new ones.
The right learning rate and the right noise levels depend on the prior.
"""

from typing import Any

from redgui import knobs
from redgui.operators.base import Operator
from redgui.priors.catalogue import FEW, FEW_LATENT, card_of
from redgui.samplers import SAMPLERS, Sampler

# Photographs: from the measurement itself, at the levels of what is wrong with it; and those of which most is missing.
GENTLE = dict(steps=20, lr=0.3, lam=0.5, optimizer="sgd", spacing="karras")
NOISY_HOLES = dict(GENTLE, steps=30, lr=0.1, sigma_start=0.0, sigma_end=0.0, init="classic")
CAREFUL = dict(steps=40, lr=0.02, lam=0.1, spacing="karras", sigma_start=0.0, sigma_end=0.02, init="classic")

# Noise, and an operator that leaves most of the picture: both terms weighed as the posterior weighs them, in short steps.
POSTERIOR = dict(
    lr=0.01, lam=1.0, weighting="posterior", noise_aware=False, spacing="karras", sigma_start=3.0, sigma_end=0.04, init="wiener"
)

POSTERIORS = ("inpaint", "inpaint:random", "blur", "jpeg", "nonlinear-blur", "quantize")

# Without noise what is measured holds to the last digit: a small weight of the prior, from where its errors are small, too.
EXACT = dict(lam=0.01, spacing="karras", sigma_start=2.0)

# (prior, sampler, operator) -> knobs. A prior without a line of its own for a sampler has those of its group in the catalogue,
# else those of "*", which were found with faces-64. The operator is "name:kind" where one kind is another problem than the
# rest, "name", or "*" for those without a line of their own, and "@noisy" after any of them is for measurements with noise; the
# first that is found is taken, in the order name:kind@noisy, name:kind, name@noisy, name, *@noisy, *.
PRESETS: dict[tuple[str, str, str], dict[str, Any]] = {
    ("*", "reddiff", "*"): dict(lr=0.03, lam=0.1, spacing="karras", sigma_start=5.0),
    ("*", "reddiff", "inpaint"): dict(lr=0.03, lam=0.1, spacing="karras", sigma_start=2.0, sigma_end=0.1),
    ("*", "reddiff", "inpaint:random"): dict(EXACT, lr=0.03, sigma_start=3.0),
    **{("*", "reddiff", name): dict(EXACT, lr=0.1) for name in ("blur", "nonlinear-blur")},
    ("*", "reddiff", "superres"): dict(lr=1.0, lam=0.15, spacing="karras", sigma_start=3.0, sigma_end=0.03, optimizer="sgd"),
    ("*", "reddiff", "inpaint:half"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=40.0),
    ("*", "reddiff", "inpaint:outpaint"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=40.0),
    ("*", "reddiff", "hdr"): dict(lr=0.1, lam=0.03, spacing="karras", sigma_start=5.0),
    ("*", "reddiff", "hdr@noisy"): dict(lr=0.2, lam=0.03, spacing="karras", sigma_start=5.0),
    ("*", "reddiff", "jpeg"): dict(lr=0.005, lam=0.03, spacing="karras", sigma_start=0.5),
    ("*", "reddiff", "quantize"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("*", "reddiff", "compressed-sensing"): dict(lr=0.1, lam=0.25, spacing="karras", sigma_start=5.0),
    ("*", "reddiff", "fourier"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("*", "reddiff", "compose"): dict(lr=0.03, lam=0.03, spacing="karras", sigma_start=5.0),
    ("*", "reddiff", "phase"): dict(steps=200, lr=0.3, lam=0.25, init="noise", spacing="karras", sigma_start=5.0),
    ("*", "reddiff", "*@noisy"): dict(lr=0.03, lam=0.1, spacing="karras", sigma_start=5.0, init="wiener"),
    ("*", "reddiff", "superres@noisy"): dict(lr=1.0, lam=0.5, spacing="karras", sigma_start=3.0, optimizer="sgd", data_steps=3),
    **{("*", "reddiff", f"{name}@noisy"): POSTERIOR for name in POSTERIORS},
    ("*", "reddiff", "denoise@noisy"): dict(POSTERIOR, lr=0.005),
    ("*", "reddiff", "compose@noisy"): dict(POSTERIOR, sigma_start=10.0),
    **{("*", "reddiff", f"{name}@noisy"): dict(POSTERIOR, lr=0.03) for name in ("compressed-sensing", "fourier")},
    ("*", "reddiff", "inpaint:half@noisy"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=40.0),
    ("*", "reddiff", "inpaint:outpaint@noisy"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=40.0),
    ("*", "pigdm", "*"): dict(steps=33, spread=0.25),
    ("*", "pigdm", "colorize"): dict(steps=33, spread=1.0),
    ("*", "pigdm", "blur"): dict(steps=33, spread=1.0, weight=2.0),
    ("*", "pigdm", "inpaint:random"): dict(steps=33, spread=1.0, weight=2.0),
    ("*", "dps", "*"): dict(steps=33),
    ("*", "dps", "denoise@noisy"): dict(steps=33, zeta=0.2, sigma_max=2.0),
    ("*", "dps", "inpaint"): dict(steps=33, zeta=0.2, sigma_max=5.0),
    ("*", "dps", "inpaint:random"): dict(steps=33, zeta=0.1, sigma_max=0.6),
    ("*", "dps", "blur"): dict(steps=33, zeta=0.1, sigma_max=0.3),
    **{("*", "dps", f"{name}@noisy"): dict(steps=33, sigma_max=2.0) for name in ("blur", "nonlinear-blur")},
    ("*", "dps", "nonlinear-blur"): dict(steps=33, zeta=0.1, sigma_max=0.5),
    ("*", "dps", "colorize"): dict(steps=33, zeta=0.2, sigma_max=5.0),
    ("*", "dps", "fourier"): dict(steps=33, zeta=0.2, sigma_max=2.0),
    ("*", "dps", "compose"): dict(steps=33, zeta=0.2, sigma_max=0.3),
    ("*", "dps", "jpeg"): dict(steps=33, zeta=0.1, sigma_max=0.1),
    **{("*", "dps", f"{name}@noisy"): dict(steps=33) for name in ("inpaint", "inpaint:random", "compose", "jpeg")},
    **{("*", "dps", f"inpaint:{kind}"): dict(steps=33) for kind in ("half", "outpaint")},
    ("*", "dps", "hdr"): dict(steps=33, zeta=0.2),
    ("*", "dps", "phase"): dict(steps=33, zeta=1.0),
    ("*", "mcg", "*"): dict(steps=33),
    ("*", "ddrm", "*"): dict(temperature=0.7, sigma_max=5.0),
    ("*", "ddrm", "inpaint:random"): dict(steps=50, temperature=0.7, sigma_max=5.0),
    ("*", "ddrm", "inpaint:half"): dict(temperature=0.7),
    ("*", "ddrm", "inpaint:outpaint"): dict(temperature=0.7),
    ("*", "ddrm", "blur"): dict(sigma_y_min=0.002, temperature=0.7, sigma_max=5.0),
    ("*", "vml-map", "*"): dict(steps=50),
    ("*", "vml-map", "colorize"): dict(steps=50, sigma_max=80.0, step=0.3),
    ("*", "vml-map", "*@noisy"): dict(steps=50, sigma_max=80.0),
    ("*", "ddnm", "*"): dict(steps=50, eta=1.0),
    ("*", "ddnm", "*@noisy"): dict(steps=50, eta=0.85),
    ("*", "ddnm", "fourier"): dict(steps=50, eta=1.0),
    ("*", "diffpir", "*"): dict(steps=50, zeta=1.0),
    ("*", "daps", "*"): dict(sigma_y_min=0.002),
    ("*", "daps", "*@noisy"): dict(sigma_y_min=0.002, texture=0.3),
    ("*", "daps", "superres"): dict(sigma_y_min=0.002, texture=0.3),
    ("*", "repaint", "*"): dict(steps=35),
    ("*", "sitcom", "*"): dict(steps=7, inner=5, lr=0.05, sigma_max=0.5),
    ("*", "sitcom", "inpaint"): dict(steps=7, inner=5, lr=0.02, sigma_max=0.5),
    **{("*", "sitcom", name): dict(steps=7, inner=5, lr=0.05, sigma_max=0.5) for name in ("inpaint@noisy", "inpaint:random")},
    ("*", "sitcom", "fourier"): dict(steps=7, inner=5, lr=0.05, sigma_max=1.0),
    **{("*", "sitcom", name): dict(steps=7, inner=5, lr=0.1) for name in ("inpaint:half", "inpaint:outpaint", "phase")},
    ("*", "sitcom", "colorize"): dict(steps=7, inner=5, lr=0.05, sigma_max=3.0),
    ("*", "sitcom", "compressed-sensing"): dict(steps=7, inner=5, lr=0.1, sigma_max=1.0),
    ("*", "sitcom", "compressed-sensing@noisy"): dict(steps=7, inner=5, lr=0.05, sigma_max=1.0),
    **{("*", "sitcom", name): dict(steps=7, inner=5, lr=0.05, sigma_max=0.2) for name in ("blur", "nonlinear-blur")},
    **{("*", "sitcom", f"{name}@noisy"): dict(steps=7, inner=5, lr=0.05, sigma_max=0.5) for name in ("blur", "nonlinear-blur")},
    ("*", "sitcom", "jpeg"): dict(steps=7, inner=5, sigma_max=0.2),
    ("*", "rsd", "*"): dict(steps=50, lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("*", "rsd", "blur"): dict(EXACT, steps=50, lr=0.1),
    ("*", "rsd", "blur@noisy"): dict(steps=50, lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("*", "rsd", "compressed-sensing"): dict(steps=50, lr=0.2, lam=0.25, spacing="karras", sigma_start=5.0),
    ("*", "rsd", "compressed-sensing@noisy"): dict(steps=50, lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("*", "rsd", "phase"): dict(steps=100, lr=0.3, lam=0.25, spacing="karras", sigma_start=5.0),
    # ---- priors that answer with a picture instead of a mean: few steps, and RED-diff meets the measurement after each
    (FEW, "reddiff", "*"): dict(
        steps=8, lr=1.0, lam=1.0, optimizer="sgd", data_steps=10, spacing="karras", sigma_start=5.0, sigma_end=0.05
    ),
    (FEW_LATENT, "reddiff", "*"): dict(steps=8, lr=0.1, lam=0.25, data_steps=10, spacing="karras", sigma_start=5.0),
    (FEW, "diffpir", "*"): dict(steps=8, zeta=1.0),
    (FEW, "ddnm", "*"): dict(steps=8, eta=1.0),
    (FEW, "ddnm", "*@noisy"): dict(steps=8, eta=0.85),
    # ---- photographs at their own scale: low noise, from a classic start
    ("photos", "reddiff", "inpaint"): dict(
        steps=40, lr=0.5, lam=0.4, optimizer="sgd", spacing="karras", sigma_start=0.0, sigma_end=0.02, init="classic"
    ),
    ("photos", "reddiff", "superres"): dict(
        steps=30, lr=1.0, lam=0.3, optimizer="sgd", spacing="karras", sigma_start=0.5, sigma_end=0.03, init="classic"
    ),
    ("photos", "reddiff", "blur"): dict(
        steps=30, lr=1.0, lam=0.2, optimizer="sgd", spacing="karras", sigma_start=0.2, sigma_end=0.03, init="classic"
    ),
    ("photos", "reddiff", "denoise"): dict(GENTLE, sigma_start=0.0, sigma_end=0.0),
    ("photos", "reddiff", "jpeg"): dict(GENTLE, sigma_start=0.2, sigma_end=0.05),
    # The network knows little of high noise levels.
    ("photos", "dps", "superres"): dict(steps=33, zeta=0.1, sigma_max=0.3),
    ("photos", "sitcom", "blur"): dict(steps=7, inner=5, lr=0.03, sigma_max=0.15),
    ("photos", "sitcom", "jpeg"): dict(steps=7, inner=5, lr=0.01, sigma_max=0.15),
    ("photos", "sitcom", "superres"): dict(steps=11, inner=3, lr=0.03, sigma_max=0.5),
    ("photos", "dps", "superres@noisy"): dict(steps=33),
    ("photos", "daps", "superres"): dict(sigma_y_min=0.002, texture=0.07),
    ("photos", "daps", "superres@noisy"): dict(sigma_y_min=0.002, texture=0.3),
    **{
        ("photos", "sitcom", f"{name}@noisy"): dict(steps=7, inner=5, lr=0.05, sigma_max=0.5)
        for name in ("blur", "jpeg", "superres")
    },
    # Plain steps are stable up to three quarters of missing pixels, shorter ones beyond.
    **{("photos", "reddiff", f"inpaint:{kind}"): CAREFUL for kind in ("random", "half", "outpaint")},
    **{("photos", "reddiff", f"inpaint{kind}@noisy"): NOISY_HOLES for kind in ("", ":random", ":half", ":outpaint")},
}

USUAL = "faces-64"  # the prior where none is named
NOISY = 0.02  # from this sigma_y on a measurement counts as noisy


def preset(sampler: str, operator: str, kind: str | None = None, sigma_y: float = 0.0, prior: str = USUAL) -> dict[str, Any]:
    """The tuned knobs of a sampler for an operator (and its kind) at a level of noise with a prior, by their names."""
    keys = [f"{operator}:{kind}", operator, "*"]
    if sigma_y >= NOISY:
        keys = [key + noise for key in keys for noise in ("@noisy", "")]
    card = card_of(prior)
    groups = dict.fromkeys((prior.partition(":")[0], card.presets if card else "*", "*"))
    found = (PRESETS.get((of, sampler, key)) for of in groups for key in keys)
    return next((knobs_ for knobs_ in found if knobs_ is not None), {})


SEVERAL = 4


def particles(sampler: type[Sampler] | Sampler, H: type[Operator] | Operator) -> int:
    """Runs in a batch where a person has not said: several where the best of them is reported, or where they see each other."""
    return SEVERAL if sampler.learned and (H.ambiguous or sampler.coupled) else 1


# (sampler, knob, value) -> knobs. The value asks for a method as it was published: it then has these knobs, the defaults and no
# preset.
PUBLISHED: dict[tuple[str, str, Any], dict[str, Any]] = {
    ("reddiff", "compat", True): dict(steps=1000),
    ("pigdm", "variant", "B"): dict(steps=33),
    ("pigdm", "variant", "C"): dict(steps=33),
}


def published(sampler: Sampler) -> str | None:
    """The knob by which a sampler is asked for as published; None where it is not."""
    asked = (knob for name, knob, value in PUBLISHED if name == sampler.name and getattr(sampler, knob) == value)
    return next(asked, None)


def sampler_for(spec: str, H: Operator, sigma_y: float = 0.0, prior: str = USUAL) -> Sampler:
    """A sampler from its text form, with the presets for the problem and the prior where it says nothing. Raises KnobError."""
    name, given = knobs.parse(spec)
    cls = knobs.find(SAMPLERS, name, "sampler")
    plain = knobs.build(cls, given)
    if knob := published(plain):
        tuned = PUBLISHED[name, knob, getattr(plain, knob)]
    else:
        tuned = preset(name, H.name, getattr(H, "kind", None), sigma_y, prior)
    return knobs.build(cls, {**tuned, **given})


def text(sampler: Sampler, H: Operator, sigma_y: float = 0.0, prior: str = USUAL) -> str:
    """The shortest text form that `sampler_for` reads back as this sampler."""
    if not (knob := published(sampler)):
        return knobs.spec(sampler, sampler_for(sampler.name, H, sigma_y, prior))
    usual = PUBLISHED[sampler.name, knob, getattr(sampler, knob)]
    return knobs.spec(sampler, knobs.build(type(sampler), usual))
