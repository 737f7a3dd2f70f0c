"""The kernelised Stein discrepancy of draws from a density whose score is known.

Liu, Lee, Jordan, ICML 2016, arXiv 1602.03253.

With s = grad log p and a kernel k, the discrepancy is KSD^2 = E u(x, x') over independent x, x' of the sampler, where

    u(x, x') = k s(x).s(x') + s(x).grad' k + s(x').grad k + tr grad grad' k,

and is 0 where the draws are of p. k = (1 + |x - x'|^2 / d)^(-1/2), the inverse multiquadric, which sees draws that drift away
(Gorham, Mackey, ICML 2017, arXiv 1703.01717); its width suits x in d dimensions that is scaled to unit variance. A score does
not see how much mass far modes have, and so neither does this: see `redgui.bench.posterior` for their weights.
"""

import torch
from torch import Tensor


def ksd(x: Tensor, score: Tensor) -> float:
    """KSD^2 of draws x (n, d) of about unit variance with `score` (n, d), n >= 2: the unbiased estimate, negative by chance."""
    n, d = x.shape
    if n < 2 or score.shape != x.shape:
        raise ValueError(f"draws (n, d), n at least 2, and as many scores; got {tuple(x.shape)} and {tuple(score.shape)}.")
    square = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    q = 1 + square / d
    # (s(x) - s(x')).(x - x') of all pairs
    own = (score * x).sum(1)
    cross = score @ x.T
    slope = own[:, None] + own[None, :] - cross - cross.T
    u = q**-0.5 * (score @ score.T) + q**-1.5 * (slope / d + 1) - 3 * q**-2.5 * square / d**2
    return float((u.sum() - u.diagonal().sum()) / (n * (n - 1)))
