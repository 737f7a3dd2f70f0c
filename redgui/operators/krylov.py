"""Conjugate gradients: linear systems of which only the map is known (M. Hestenes and E. Stiefel, 1952)."""

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


def conjugate_gradients(apply: Map, b: Tensor, tol: float = 1e-6, limit: int = 200, near: Map | None = None) -> Tensor:
    """Solves apply(v) = b for a symmetric positive (semi-)definite map, per image, from v = 0.

    Args:
        apply: the map, images (b, c, h, w) to the same.
        tol: stop when every image's residual is below tol |b|.
        limit: most iterations.
        near: the inverse of a map near `apply`, symmetric and positive definite: fewer iterations (preconditioning).
    """
    v, r = torch.zeros_like(b), b.clone()
    rr = _dot(r, r)
    p = r.clone() if near is None else near(r)
    rz = rr if near is None else _dot(r, p)
    stop = tol**2 * rr
    for _ in range(limit):
        if bool((rr <= stop).all()):
            break
        Ap = apply(p)
        curvature = _dot(p, Ap)
        # An image that has converged (or a direction in the null space) takes no further step.
        moving = (rr > stop) & (curvature > 0)
        alpha = torch.where(moving, rz / torch.where(moving, curvature, torch.ones_like(rz)), torch.zeros_like(rz))
        v = v + alpha * p
        r = r - alpha * Ap
        rr_new = _dot(r, r)
        z = r if near is None else near(r)
        rz_new = rr_new if near is None else _dot(r, z)
        beta = torch.where(moving, rz_new / torch.where(moving, rz, torch.ones_like(rz)), torch.zeros_like(rz))
        p = z + beta * p
        rr, rz = torch.where(moving, rr_new, rr), torch.where(moving, rz_new, rz)
    return v


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1).reshape(-1, *[1] * (a.ndim - 1))
