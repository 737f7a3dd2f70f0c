"""Tuned knobs per sampler and operator: what a first click or a bare command uses.

Each line says where it comes from. "Sweep" is `python benchmarks/tune.py faces-64.zip`: PSNR on validation faces 33 to 35 with
the bundled prior, at a budget of about 100 forwards + 2 x backwards of the network; what the presets then reach on faces 1 to
32 is in docs/results.md. The right learning rate depends on the prior: one with large errors at high noise inflates Adam's
second moment early, which anneals its steps.
"""

from typing import Any

from redgui import knobs
from redgui.operators.base import Operator
from redgui.samplers import SAMPLERS, Sampler

# (sampler, operator) -> knobs. The operator is "name:kind" where one kind is another problem than the rest, "name", or "*" for
# those without a line of their own, and "@noisy" after any of them is for measurements with noise; the first that is found is
# taken, in the order name:kind@noisy, name:kind, name@noisy, name, *@noisy, *.
PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    # 100 steps on the first 12 val faces, PSNR in dB, centre box / block-mean SR x4. Even levels at lr 0.05: 28.6 / 24.8.
    # Karras levels at lr 0.03 from sigma 160: 28.9 / 24.9, from 20: 29.1 / 25.0, from 5: 29.4 / 25.0. Above 5 this prior only
    # says "a face", and the steps spent there are missed where the detail forms. The box from sigma 2 to 0.1: 29.6.
    ("reddiff", "*"): dict(lr=0.03, lam=0.1, spacing="karras", sigma_start=5.0),
    ("reddiff", "inpaint"): dict(lr=0.03, lam=0.1, spacing="karras", sigma_start=2.0, sigma_end=0.1),
    # Plain gradient steps: H^T H is 1/k^2 times a projection, so lr 1 meets y at once. 25.1 against Adam's 25.0, same faces.
    ("reddiff", "superres"): dict(lr=1.0, lam=0.15, spacing="karras", sigma_start=3.0, sigma_end=0.03, optimizer="sgd"),
    # A hole as large as half a face needs coarse levels and longer steps to leave its grey start: by eye, same faces.
    ("reddiff", "inpaint:half"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=40.0),
    ("reddiff", "inpaint:outpaint"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=40.0),
    # First 4 val faces, no noise, 100 steps (phase 200), PSNR in dB against that of "*": HDR 26.2 (24.6), non-linear blur
    # 33.4 (30.1), quantised 24.3 (23.8), compressed sensing 27.0 (25.0), Fourier 24.0 (23.9), composed 30.7 (30.4),
    # phase 22.3 (14.9).
    # HDR in the sweep: without noise 26.5 dB (lam 0.25: 25.1); noisy, clipped pixels have far to go: 24.1 (lr 0.1: 20.9).
    ("reddiff", "hdr"): dict(lr=0.1, lam=0.03, spacing="karras", sigma_start=5.0),
    ("reddiff", "hdr@noisy"): dict(lr=0.3, lam=0.03, spacing="karras", sigma_start=5.0),
    # Val faces 33 to 38, no noise, lr 0.01 / 0.03 / 0.1, where the JPEG itself has 24.6: from sigma 1 25.1 / 24.6 / 23.3, from
    # 5 24.3 / 24.9 / 24.3, and less with a larger lam: long steps lose what the start already has. Sweep, sigma_y 0.1: 23.8 at
    # lr 0.1 and lam 0.1 (lam 1: 23.1).
    ("reddiff", "jpeg"): dict(lr=0.01, lam=0.1, spacing="karras", sigma_start=1.0),
    ("reddiff", "jpeg@noisy"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("reddiff", "nonlinear-blur"): dict(lr=0.2, lam=0.03, spacing="karras", sigma_start=5.0),
    ("reddiff", "quantize"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("reddiff", "compressed-sensing"): dict(lr=0.1, lam=0.25, spacing="karras", sigma_start=5.0),
    ("reddiff", "fourier"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("reddiff", "compose"): dict(lr=0.03, lam=0.03, spacing="karras", sigma_start=5.0),
    ("reddiff", "phase"): dict(steps=200, lr=0.3, lam=0.25, init="noise", spacing="karras", sigma_start=5.0),
    # Sweep, sigma_y 0.1. The regularised start instead of the pseudo-inverse: blur 23.0 (22.8), motion blur 23.9 (23.2), random
    # mask 27.6 (26.6), compressed sensing 24.6 (24.4); lam 0.25 and more are lower everywhere.
    ("reddiff", "*@noisy"): dict(lr=0.03, lam=0.1, spacing="karras", sigma_start=5.0, init="wiener"),
    # 24.1 dB and SSIM .813; as without noise 24.3 and .790.
    ("reddiff", "inpaint@noisy"): dict(lr=0.03, lam=0.1, spacing="karras", sigma_start=5.0, init="wiener"),
    ("reddiff", "compressed-sensing@noisy"): dict(lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0, init="wiener"),
    # First 2 val faces, 50 steps, noiseless: spread 0.25 beats 1 by 0.1 to 0.9 dB but for colours, where it loses 1.4. Sweep,
    # sigma_y 0.1: SR x4 21.7 (1: 21.6), box 24.1 (23.5), Fourier 22.9 (22.4), composed 24.6 (24.5); eta 0 loses 0.5 to 1.
    ("pigdm", "*"): dict(steps=33, spread=0.25),
    ("pigdm", "colorize"): dict(steps=33, spread=1.0),
    # 4 val faces, 33 steps, without noise (sigma_y_min 0.001) / with sigma_y 0.1: 31.2 / 23.4 at spread 0.25, weight 1; 31.9 /
    # 23.4 here; with the pseudo-inverse 26.3 without noise.
    ("pigdm", "blur"): dict(steps=33, spread=1.0, weight=2.0),
    # The same faces, 70 % missing, sigma_y 0.1: 28.4 at spread 0.25 and weight 1, 27.6 at 1 and 1, 29.4 here.
    ("pigdm", "inpaint:random"): dict(steps=33, spread=1.0, weight=2.0),
    # Sweep, sigma_y 0.1, zeta 0.2 / 0.5 / 1: SR x4 20.4 / 21.7 / 21.4, box 23.3 / 23.6 / 20.9, random mask 27.4 / 29.2 / 24.3,
    # blur 21.8 / 22.5 / 20.9, denoise 30.0 / 32.9, compressed sensing 24.3 / 26.3, quantised 24.6 / 25.7 / 23.5, phase 14.9 /
    # 15.9 / 16.3; but Fourier 21.5 / 19.0 / 14.0 and HDR 24.6 / 21.2 / 16.8. No noise: random mask 29.5 / 28.2 / 23.2, blur
    # 22.9 / 22.1.
    ("dps", "*"): dict(steps=33),
    ("dps", "fourier"): dict(steps=33, zeta=0.2),
    ("dps", "hdr"): dict(steps=33, zeta=0.2),
    ("dps", "phase"): dict(steps=33, zeta=1.0),
    ("dps", "blur"): dict(steps=33, zeta=0.2),
    ("dps", "blur@noisy"): dict(steps=33),
    ("dps", "inpaint:random"): dict(steps=33, zeta=0.2),
    ("dps", "inpaint:random@noisy"): dict(steps=33),
    ("mcg", "*"): dict(steps=33),
    # 8 val faces, 20 steps, PSNR in dB at temperature 1 / 0.85 / 0.7 / 0.5. sigma_y 0.1: box 24.9 / 25.5 / 25.6 / 25.6, random
    # 26.9 / 27.6 / 27.9 / 28.0, SR x4 22.3 / 22.9 / 23.0 / 22.9; no noise: box 26.1 / 26.7 / 27.0 / 26.9, SR x4 23.7 / 24.4 /
    # 24.7 / 24.7; SSIM is best at 0.7 or 0.85. At 0.7 and sigma_y 0.1 from the highest level / sigma 20 / 5 / 2: box 25.6 /
    # 26.0 / 26.2 / 26.0, random 27.9 / 28.7 / 29.4 / 29.2, SR x4 23.0 / 23.3 / 23.3 / 23.2, blur 25.1 / 25.2 / 25.3 / 25.3.
    # Random with 50 steps: 29.1 from the highest level, 29.5 from 5. Sweep, the paper's / temperature 0.7 / from sigma 5 too.
    # Without noise: colours 22.8 / 23.4 / 23.4, compressed sensing 20.9 / 22.3 / 24.0, Fourier 21.8 / 23.3 / 23.8, composed
    # 28.0 / 28.9 / 29.1; sigma_y 0.1: denoise 30.6 / 31.3 / 33.3, compressed sensing 20.2 / 21.3 / 23.2, Fourier 21.5 / 22.7 /
    # 23.2.
    ("ddrm", "*"): dict(temperature=0.7, sigma_max=5.0),
    ("ddrm", "inpaint:random"): dict(steps=50, temperature=0.7, sigma_max=5.0),
    ("ddrm", "inpaint:half"): dict(temperature=0.7),
    ("ddrm", "inpaint:outpaint"): dict(temperature=0.7),
    # The same faces blurred without noise: 26.8 dB with no noise assumed and none of these; with these 38.6 / 34.5 / 31.1 for
    # sigma_y_min 2e-5 / 2e-4 / 2e-3, the last 30.6 if the blurred picture was rounded to 8 bits, which the others do not bear.
    ("ddrm", "blur"): dict(sigma_y_min=0.002, temperature=0.7, sigma_max=5.0),
    # The lines below: first 2 val faces, 50 levels, PSNR in dB without noise / with sigma_y 0.1.
    # A mode: SR x4 25.2 / 22.1, blur 32.7 / 24.7, random 70 % 28.7 / 26.9, box 31.0 / 28.8. Colours come out too strong, less
    # so from a higher first level: 22.8 from sigma 10, 24.9 from 80.
    ("vml-map", "*"): dict(steps=50),
    ("vml-map", "colorize"): dict(steps=50, sigma_max=80.0),
    # Sweep, sigma_y 0.1, from sigma 80 (10): SR x4 21.9 (21.5), box 25.0 (24.8), Fourier 25.5 (25.3), composed 25.1 (24.7).
    ("vml-map", "*@noisy"): dict(steps=50, sigma_max=80.0),
    # Sweep. Without noise, eta 1 (0.85): box 24.6 (24.2), SR x4 23.2 (22.4), Fourier 23.7 (22.8), blur 26.7 (25.9). With
    # sigma_y 0.1 the other way round: SR x4 21.0 (21.3), blur 23.3 (23.6), random mask 26.8 (27.4), denoise 30.3 (31.8).
    ("ddnm", "*"): dict(steps=50, eta=1.0),
    ("ddnm", "*@noisy"): dict(steps=50, eta=0.85),
    ("ddnm", "fourier"): dict(steps=50, eta=1.0),
    # zeta 1: SR x4 24.4 / 22.8, blur 30.6 / 24.6, random 70 % 25.6 / 24.7, box 29.9 / 27.9, colours 32.0 without noise;
    # zeta 0.8: 23.5 / 22.2, 30.1 / 24.0, 24.6 / 23.8, 29.3 / 27.2, 31.0. lam 4 instead of 1: 0.6 lower on noisy SR at zeta 0.8.
    ("diffpir", "*"): dict(steps=50, zeta=1.0),
    # A posterior sample: blur 28.2 / 22.0 (26.0 without noise with sigma_y_min 0.01), random 70 % 24.8 / 22.4, box 29.5 / 26.4,
    # colours 30.8 / 24.7; SR x4 23.1 / 18.7 with texture 0.15, 22.5 / 20.3 with 0.3.
    ("daps", "*"): dict(sigma_y_min=0.002),
    # Sweep, sigma_y 0.1, texture 0.3 (0.15): SR x4 20.1 (17.9), box 22.6 (22.5), Fourier 21.1 (20.8), composed 22.9 (21.5).
    ("daps", "*@noisy"): dict(sigma_y_min=0.002, texture=0.3),
    ("repaint", "*"): dict(steps=35),
    # Sweep, 7 levels of 5 calls at lr 0.1 / 0.05, and 11 of 3 at 0.1, sigma_y 0.1: box 23.4 / 22.2 / 23.0, blur 22.9 / 22.5 /
    # 22.4, random mask 26.7 / 25.6 / 26.8, SR x4 21.7 / 22.0 / 22.1. The paper's 20 of 30 cost eighteen times as much.
    ("sitcom", "*"): dict(steps=7, inner=5, lr=0.1),
    ("sitcom", "superres"): dict(steps=11, inner=3, lr=0.1),
    ("daps", "superres"): dict(sigma_y_min=0.002, texture=0.3),
    # Each particle has 25 to 100 steps, four of them. Sweep, 50 steps at lr 0.1 / 25 steps: box 25.0 / 23.8, SR x4 23.8 / 23.3.
    # Four particles on the box of one face, 60 steps: 30.6 to 31.9 each with gamma 0, 26.8 to 28.0 with 0.002.
    ("rsd", "*"): dict(steps=50, lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    # Val faces 33 to 38, no noise: compressed sensing 25.8 dB (lam 0.1: 21.2, speckled); phase 21.6 with 100 steps, 18.3 with
    # 50 (sigma_y 0.1: 16.4 and 14.9).
    ("rsd", "compressed-sensing"): dict(steps=50, lr=0.2, lam=0.25, spacing="karras", sigma_start=5.0),
    ("rsd", "compressed-sensing@noisy"): dict(steps=50, lr=0.1, lam=0.1, spacing="karras", sigma_start=5.0),
    ("rsd", "phase"): dict(steps=100, lr=0.3, lam=0.25, spacing="karras", sigma_start=5.0),
}


NOISY = 0.02  # from this sigma_y on a measurement counts as noisy


def preset(sampler: str, operator: str, kind: str | None = None, sigma_y: float = 0.0) -> dict[str, Any]:
    """The tuned knobs of a sampler for an operator (and its kind) at a level of noise, by their names."""
    keys = [f"{operator}:{kind}", operator, "*"]
    if sigma_y >= NOISY:
        keys = [key + noise for key in keys for noise in ("@noisy", "")]
    found = (PRESETS.get((sampler, key)) for key in keys)
    return next((knobs_ for knobs_ in found if knobs_ is not None), {})


SEVERAL = 4


def particles(sampler: type[Sampler] | Sampler, H: type[Operator] | Operator) -> int:
    """Runs in a batch where a person has not said: several where the best of them is reported, or where they see each other."""
    return SEVERAL if H.ambiguous or sampler.coupled else 1


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


def sampler_for(spec: str, H: Operator, sigma_y: float = 0.0) -> Sampler:
    """A sampler from its text form, with presets for H and sigma_y where the text says nothing. Raises KnobError."""
    name, given = knobs.parse(spec)
    cls = knobs.find(SAMPLERS, name, "sampler")
    plain = knobs.build(cls, given)
    if knob := published(plain):
        tuned = PUBLISHED[name, knob, getattr(plain, knob)]
    else:
        tuned = preset(name, H.name, getattr(H, "kind", None), sigma_y)
    return knobs.build(cls, {**tuned, **given})


def text(sampler: Sampler, H: Operator, sigma_y: float = 0.0) -> str:
    """The shortest text form that `sampler_for` reads back as this sampler."""
    if not (knob := published(sampler)):
        return knobs.spec(sampler, sampler_for(sampler.name, H, sigma_y))
    usual = PUBLISHED[sampler.name, knob, getattr(sampler, knob)]
    return knobs.spec(sampler, knobs.build(type(sampler), usual))
