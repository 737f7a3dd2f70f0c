"""H near a picture, H(x + v) = H(x) + A v, and the regularised inverse of A that several samplers step with.

For a linear operator A = H. For any other A is the Jacobian of `residual`: A^T w is one vector-Jacobian product, and A v is the
derivative of w -> A^T w in the direction v, so that all differentiable operators have both.
"""

import threading
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from redgui.operators.base import LinearOperator, Operator, SpectralOperator
from redgui.operators.krylov import conjugate_gradients


def lift(H: LinearOperator, w: Tensor, reg: float) -> Tensor:
    """(H^T H + reg I)^-1 H^T w = H^T (H H^T + reg I)^-1 w, (b, c, h, w'); reg = 0 is H^+ w.

    `solve(adjoint(w), reg)` is the same number, but where H is blind it multiplies rounding errors of H^T w by 1/reg.
    Here the eigenvalue 0 maps to 0, and a reg that float32 cannot resolve leaves the pseudo-inverse, with its cutoff.
    """
    if isinstance(H, SpectralOperator):

        def inverse(lam: Tensor) -> Tensor:
            kept = lam > 0 if reg > 1e-6 * H.lam_max else H.kept(lam)
            return torch.where(kept, 1 / torch.where(kept, lam + reg, torch.ones_like(lam)), torch.zeros_like(lam))

        return H.spectral(inverse, H.adjoint(w))
    return H.solve(H.adjoint(w), reg) if reg > 0 else H.pinv(w)


class PlainAttention(TorchFunctionMode):
    """Within, in this thread, attention is made of products and a softmax: the fused one, which the decoder of a latent prior
    has, is differentiable only once."""

    _within = threading.local()

    @classmethod
    def within(cls) -> bool:
        """Whether this thread makes a graph that is differentiated twice."""
        return getattr(cls._within, "depth", 0) > 0

    def __enter__(self) -> Self:
        self._within.depth = getattr(self._within, "depth", 0) + 1
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._within.depth -= 1
        super().__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention:
            return torch.ops.aten._scaled_dot_product_attention_math(*args, **kwargs or {})[0]
        return func(*args, **kwargs or {})


class Tangent:
    """The linearisation of H at x (b, c, h, w), detached.

    Attributes:
        r: H(x) - y.
    """

    def __init__(self, H: Operator, x: Tensor, y: Tensor):
        self.linear = H if isinstance(H, LinearOperator) else None
        if self.linear is not None:
            self.x, self.r = x, H.residual(x, y)
            return
        with torch.enable_grad():
            self.x = x.detach().requires_grad_(True)
            with PlainAttention():
                self.out = H.residual(self.x, y)
            self.w = torch.zeros_like(self.out, requires_grad=True)
            (self.g,) = torch.autograd.grad(self.out, self.x, self.w, create_graph=True, materialize_grads=True)
        self.r = self.out.detach()

    def __call__(self, v: Tensor) -> Tensor:
        """A v, like y."""
        if self.linear is not None:
            return self.linear(v)
        if not self.g.requires_grad:
            return torch.zeros_like(self.r)
        return torch.autograd.grad(self.g, self.w, v, retain_graph=True, materialize_grads=True)[0]

    def adjoint(self, w: Tensor) -> Tensor:
        """A^T w, (b, c, h, w)."""
        if self.linear is not None:
            return self.linear.adjoint(w)
        return torch.autograd.grad(self.out, self.x, w, retain_graph=True, materialize_grads=True)[0]

    def lift(self, w: Tensor, reg: float) -> Tensor:
        """(A^T A + reg I)^-1 A^T w; for an operator that is not linear by at most 20 conjugate gradients."""
        if self.linear is not None:
            return lift(self.linear, w, reg)
        return conjugate_gradients(lambda v: self.adjoint(self(v)) + reg * v, self.adjoint(w), tol=1e-4, limit=20)

    def norm2(self) -> Tensor:
        """The largest eigenvalue of A^T A per image, (b, 1, 1, 1), by power iteration if it is not known."""
        # Not orthogonal to the largest singular vector of any common degradation, which is a constant picture or near one.
        v = 1 + 0.1 * torch.linspace(-1, 1, self.x[0].numel()).to(self.x).view_as(self.x[:1]).expand_as(self.x)
        if isinstance(self.linear, SpectralOperator):
            return self.linear.lam_max * torch.ones_like(v[:, :1, :1, :1])
        size = v.flatten(1).norm(dim=1)
        for _ in range(12):
            v = v / size.clamp(min=1e-12).view(-1, 1, 1, 1)
            v = self.adjoint(self(v))
            size = v.flatten(1).norm(dim=1)
        return size.view(-1, 1, 1, 1)
