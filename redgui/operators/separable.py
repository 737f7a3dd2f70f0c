"""Operators that act on rows and on columns apart: y = A_h x A_w^T.

With the thin singular value decomposition A = U S V^T of each axis, H^T H has the eigenvalues S_h[i]^2 S_w[j]^2 on V_h x V_w,
and 0 elsewhere. Both axes may have any number of rows: nothing need be square or circular.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Axis(NamedTuple):
    """One axis of an operator: A (m, n), the eigenvalues of A^T A that need not be zero, and their eigenvectors as columns."""

    A: Tensor
    lam: Tensor
    V: Tensor

    @staticmethod
    def of(A: np.ndarray, dtype: torch.dtype, device: torch.device) -> "Axis":
        """The axis of a matrix."""
        _, s, Vt = np.linalg.svd(A, full_matrices=False)
        return Axis(*(torch.from_numpy(np.ascontiguousarray(part)).to(dtype).to(device) for part in (A, s**2, Vt.T)))


def applied(rows: Axis, columns: Axis, x: Tensor) -> Tensor:
    """A_h x A_w^T of images (b, c, h, w)."""
    return rows.A @ x @ columns.A.mT


def adjoint(rows: Axis, columns: Axis, y: Tensor) -> Tensor:
    """A_h^T y A_w."""
    return rows.A.mT @ y @ columns.A


def spectral(rows: Axis, columns: Axis, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(H^T H) x."""
    f0 = f(x.new_zeros(()))
    coefficients = rows.V.mT @ x @ columns.V
    return f0 * x + rows.V @ ((f(rows.lam[:, None] * columns.lam) - f0) * coefficients) @ columns.V.mT
