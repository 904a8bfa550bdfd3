"""Tools for the curvature of a loss with one interface: a product, the largest eigenvalues, a density.

Other tools see the loss as a function of one flat parameter. They are the extra `bench`.
"""

from __future__ import annotations

import contextlib
import sys
from importlib.util import find_spec

import torch
from scipy.sparse.linalg import eigsh
from torch import nn

from twirlscope.curvature.lanczos import lanczos, rademacher
from twirlscope.curvature.objective import Objective
from twirlscope.curvature.operators import operator

PROBES, STEPS, TOP, PART = 4, 80, 10, "equiv"


class Flat(nn.Module):
    """The loss as other tools want it: a module with one parameter, called with data. calls: forward passes."""

    def __init__(self, objective: Objective):
        super().__init__()
        self.theta, self.objective, self.calls = nn.Parameter(objective.parameters.detach().clone()), objective, 0

    def forward(self, _):
        self.calls += 1
        return self.objective.losses(self.theta, self.objective.chunks[0])[PART].reshape(1, 1)


class Mean(nn.Module):
    """A criterion that leaves the loss as it is."""

    reduction = "mean"

    def forward(self, value, _):
        return value.mean()


class Ours:
    """One block-Lanczos run gives everything."""

    def __init__(self, objective: Objective):
        self.operator, self.basis = operator(objective, PART), objective.parameters.dtype
        self.noise = torch.finfo(self.basis).eps

    def product(self, vector):
        return self.operator(vector[:, None])[:, 0]

    def top(self):
        probes = rademacher(self.operator.size, PROBES, 0).to(self.basis)
        return lanczos(self.operator, probes, STEPS, noise=self.noise).top(TOP)[0]

    def density(self):
        """Part of the same run."""

    def products(self):
        return self.operator.products


class OursWide(Ours):
    """The same with a basis in float64."""

    def __init__(self, objective: Objective):
        super().__init__(objective)
        self.basis = torch.float64


class PyHessian:
    """Ranks by size. `torch.eig`, which it calls, is gone from torch: replaced by `eigh`.

    By its own settings, 100 steps of power iteration to a change of 1e-3, eigenvalues are off by percents.
    """

    def __init__(self, objective: Objective):
        import pyhessian

        self.count, module = 0, sys.modules["pyhessian.hessian"]
        self.multiply = pyhessian.hessian_vector_product

        def counted(*args):
            self.count += 1
            return self.multiply(*args)

        def eig(matrix, eigenvectors):
            value, vector = torch.linalg.eigh(matrix)
            return value[:, None], vector

        module.hessian_vector_product, torch.eig = counted, eig
        self.data = torch.zeros(1, 1), torch.zeros(1, 1)
        self.hessian = pyhessian.hessian(Flat(objective), Mean(), data=self.data, cuda=False)

    def product(self, vector):
        return self.multiply(self.hessian.gradsH, self.hessian.params, [vector])[0]

    def top(self):
        return self.hessian.eigenvalues(maxIter=1000, tol=1e-6, top_n=TOP)[0]

    def density(self):
        self.hessian.density(iter=STEPS, n_v=PROBES)

    def products(self):
        return self.count


class Curvlinops:
    """`silu`, whose derivative has no forward mode under its jacrev, is written as x * sigmoid(x) for it."""

    def __init__(self, objective: Objective):
        import curvlinops

        self.flat, data = Flat(objective), [(torch.zeros(1, 1), torch.zeros(1, 1))]
        nn.functional.silu = lambda x: x * torch.sigmoid(x)
        keys = {"check_deterministic": False, "num_data": 1}
        self.matrix = curvlinops.HessianLinearOperator(self.flat, Mean(), [self.flat.theta], data, **keys)

    def product(self, vector):
        return self.matrix @ vector

    def top(self):
        return eigsh(self.matrix.to_scipy(), k=TOP, which="LA", tol=1e-3, return_eigenvectors=False)[::-1]

    def density(self):
        from curvlinops.papyan2020traces.spectrum import fast_lanczos

        for _ in range(PROBES):
            fast_lanczos(self.matrix, STEPS)

    def products(self):
        return self.flat.calls


class Eigenthings:
    """With enough steps and reorthogonalisation, which it leaves out where it is needed."""

    def __init__(self, objective: Objective):
        from hessian_eigenthings.operators.hessian import HessianOperator

        self.flat = Flat(objective)
        self.matrix = HessianOperator(self.flat, [torch.zeros(1, 1)], lambda model, data: model(data).mean())

    def product(self, vector):
        return self.matrix.matvec(vector)

    def top(self):
        from hessian_eigenthings.algorithms.lanczos import lanczos as single

        return single(self.matrix, k=TOP, max_iter=50, which="LA", reorthogonalize=True, seed=0).eigenvalues

    def density(self):
        from hessian_eigenthings.algorithms.spectral_density import spectral_density

        spectral_density(self.matrix, num_runs=PROBES, lanczos_steps=STEPS, seed=0)

    def products(self):
        return self.flat.calls


TOOLS = {"twirlscope": Ours, "its basis in float64": OursWide, "PyHessian": PyHessian, "curvlinops": Curvlinops}
TOOLS |= {"hessian-eigenthings": Eigenthings}
PACKAGES = {"PyHessian": "pyhessian", "curvlinops": "curvlinops", "hessian-eigenthings": "hessian_eigenthings"}


@contextlib.contextmanager
def restored():
    """Puts back what the adapters replace."""
    silu, eig = nn.functional.silu, torch.eig
    try:
        yield
    finally:
        nn.functional.silu, torch.eig = silu, eig
        if "pyhessian" in sys.modules:
            sys.modules["pyhessian.hessian"].hessian_vector_product = sys.modules["pyhessian"].hessian_vector_product


def installed() -> list[str]:
    """Names of the tools that can be imported, ours first."""
    return [name for name in TOOLS if name not in PACKAGES or find_spec(PACKAGES[name])]
