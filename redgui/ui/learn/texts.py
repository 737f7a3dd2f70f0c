"""What the Learn tab says: the formulas in the notation of RED-diff's paper (arXiv 2305.04391)."""

IDEA = r"""
## What RED-diff does

A measurement $y = H(x_0) + \sigma_y n$ does not say what the picture $x_0$ was: many pictures explain it. A diffusion model
knows which of them are likely. RED-diff looks for a Gaussian $q = \mathcal{N}(\mu, \tilde\sigma^2 I)$ that is as near as it
can be to the posterior $p(x_0 \mid y)$; with $\tilde\sigma \to 0$ that leaves a picture $\mu$ to be optimised, like the weights
of a network, by

$$\min_\mu\; \tfrac12\|H(\mu) - y\|^2 + \mathbb{E}_{t,\epsilon}\Big[
\lambda_t \big(\mathrm{sg}[\epsilon_\theta(x_t; t) - \epsilon]\big)^{\!\top} \mu\Big],
\quad x_t = \alpha_t \mu + \sigma_t \epsilon,\ \ \epsilon \sim \mathcal{N}(0, I).$$

The first term asks $\mu$ to explain the measurement. The second hides $\mu$ in noise, asks the network what noise it sees, and
pulls $\mu$ to where the network would be right; $\mathrm{sg}$ stops the gradient, so that the network is never differentiated.
Each iteration takes one noise level, from high to low. All that follows names it by $\sigma = \sigma_t / \alpha_t$, one over
the square root of the signal-to-noise ratio.
"""

WEIGHTS = r"""
$\lambda_t = \lambda\, g(\sigma)$ says how far the prior is trusted at each level. The paper's choice is linear, $g = \sigma$:
then $\lambda_t(\epsilon_\theta - \epsilon) = \lambda\,(\mu - D(\mu + \sigma\epsilon, \sigma))$ exactly, which is
*regularisation by denoising*. Steps and weighting are those of the Restore tab; a click on a picture takes an
iteration apart at its level.
"""

ITERATION = """
## One iteration, taken apart

On your picture and your degradation of the Restore tab, with RED-diff's knobs as they are there. Drag σ and λ to see what each
piece becomes; **Next iteration** walks through the run's own loop from its start.
"""

PLANE = r"""
## Two pixels: what samplers do, seen from above

A picture of two pixels is a point of a plane. The prior is a mixture of Gaussians, known exactly; the measurement, one number,
leaves a line. The app's own samplers walk here with the knobs beside them. **RED-diff** and **VML-MAP** seek modes: their
particles collapse onto few, and mostly onto the largest. **RSD** is RED-diff with particles that repel each other: raise
$\gamma$. **DPS** and **DDRM** draw samples: their shares come near those of the posterior.
"""

REFERENCES = """
## To read on

- **RED-diff**: M. Mardani, J. Song, J. Kautz, A. Vahdat, *A Variational Perspective on Solving Inverse Problems with Diffusion
  Models*, ICLR 2024, [arXiv 2305.04391](https://arxiv.org/abs/2305.04391)
- **RED**: Y. Romano, M. Elad, P. Milanfar, *The Little Engine that Could: Regularization by Denoising (RED)*, SIAM Journal on
  Imaging Sciences 2017, [arXiv 1611.02862](https://arxiv.org/abs/1611.02862)
- **Diffusion models**: J. Ho, A. Jain, P. Abbeel, *Denoising Diffusion Probabilistic Models*, NeurIPS 2020,
  [arXiv 2006.11239](https://arxiv.org/abs/2006.11239)
- **Scores**: Y. Song and others, *Score-Based Generative Modeling through Stochastic Differential Equations*, ICLR 2021,
  [arXiv 2011.13456](https://arxiv.org/abs/2011.13456)
- **σ as the time axis**: T. Karras, M. Aittala, T. Aila, S. Laine, *Elucidating the Design Space of Diffusion-Based Generative
  Models*, NeurIPS 2022, [arXiv 2206.00364](https://arxiv.org/abs/2206.00364)
- **Adam**: D. P. Kingma, J. Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015,
  [arXiv 1412.6980](https://arxiv.org/abs/1412.6980)
"""

BIBTEX = """@inproceedings{mardani2024variational,
  title     = {A Variational Perspective on Solving Inverse Problems with Diffusion Models},
  author    = {Mardani, Morteza and Song, Jiaming and Kautz, Jan and Vahdat, Arash},
  booktitle = {International Conference on Learning Representations},
  year      = {2024},
  note      = {arXiv:2305.04391}
}"""


def _piece(key: str, sign: str, name: str, formula: str, text: str, of: str = "") -> dict[str, str]:
    return {"key": key, "sign": sign, "name": name, "formula": formula, "text": text, "of": of}


# The pieces of an `Anatomy` in the order in which they come about; `of` colours the bar of a gradient's norm.
ROWS = [
    {
        "title": "1. Hide the picture in noise and ask the network what it sees",
        "pieces": [
            _piece("mu", "", "The picture so far", "μ", "What is optimised, pixel by pixel."),
            _piece("eps", "+", "Noise", "ε ∼ N(0, I)", "Drawn anew in every iteration; here from the seed."),
            _piece("x", "→", "Hidden in noise", "xₜ = αₜ μ + σₜ ε", "The higher σ, the less of μ the network can make out."),
            _piece(
                "x0_hat",
                "→",
                "Denoised",
                "D(μ + σε, σ)",
                "One call of the network: the mean of all pictures that could lie under this noise. At high σ a vague face, at "
                "low σ nearly μ itself.",
            ),
            _piece(
                "error",
                "→",
                "Noise residual",
                "ε̂ − ε = (μ − D) / σ",
                "ε̂ = ε_θ(xₜ; t) is what the network takes for noise. The residual is what the prior finds unlikely in μ.",
            ),
        ],
    },
    {
        "title": "2. Two gradients, and the step that the optimiser makes of their sum",
        "pieces": [
            _piece(
                "data",
                "",
                "Data term",
                "∇ ½‖H(μ) − y‖²",
                "Descending it pulls μ to the measurement; zero where nothing was measured, and wherever μ explains y already.",
                "data",
            ),
            _piece(
                "prior", "+", "Prior term", "λₜ (ε̂ − ε)", "The noise residual with its weight: pulls μ to the prior.", "prior"
            ),
            _piece(
                "gradient",
                "=",
                "Gradient",
                "∇ loss",
                "What the optimiser is given. The bars compare sizes; every picture has a contrast of its own.",
                "sum",
            ),
            _piece(
                "step",
                "→",
                "Step",
                "μ′ − μ",
                "sgd moves by −lr times the gradient. Adam's first step moves every pixel by lr against its gradient's sign; "
                "later ones divide a running mean by a running size.",
            ),
            _piece("after", "→", "The picture after it", "μ′", "The next iteration starts here, at the next noise level."),
        ],
    },
]
