"""What curvature costs, beside a gradient and beside other tools, and whose numbers are right: `make bench`.

Everything runs in one process on one thread. CPU times are compared as ratios, those of products in rounds that
alternate, since times on a shared machine are noise; eigenvalues and a density are timed once a tool. Other tools see
the loss as a function of one flat parameter. They are the extra `baselines`, and one that is absent is left out.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import nn

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "workflow")]

from bench_twirl import force_field, toys

from twirlscope import plugins
from twirlscope.curvature.lanczos import dense, lanczos, rademacher
from twirlscope.curvature.objective import Objective
from twirlscope.curvature.operators import CURVATURES, MODES, operator
from twirlscope.geometry.rotation_sets import sample_rotations

PROBES, STEPS, TOP, ROUNDS, PART, LIMIT = 4, 80, 10, 7, "equiv", 2.3
GOALS = {"PyHessian": 1.8, "curvlinops": 2.8, "hessian-eigenthings": 1.4}


class Transformer(nn.Module):
    """A small transformer over atoms with torch's own layer norm, as many have it."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.inward = nn.Linear(4, width)
        self.query, self.out = nn.Linear(width, 3 * width), nn.Linear(width, 4)
        self.feed = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.down = nn.Linear(2 * width, width)

    def forward(self, inputs):
        real = (inputs["numbers"] > 0)[..., None]
        atoms = torch.cat([inputs["positions"], (inputs["numbers"][..., None] / 6).to(inputs["positions"])], -1)
        x = self.inward(atoms)
        query, key, value = self.query(x).chunk(3, -1)
        weight = (query @ key.mT / key.shape[-1] ** 0.5).masked_fill(~real.mT, -torch.inf).softmax(-1)
        x = x + weight @ value
        out = self.out(x + self.down(self.feed(x))) * real
        return {"forces": out[..., :3], "energy": out[..., 3].mean(1, keepdim=True)}


def attention(width: int, layers: int):
    task = force_field(toys())
    settings = {"name": "vector_attention", "width": width, "layers": layers, "radial": 8}
    return plugins.make_model(settings, task.constants)


def problem(model: nn.Module, samples: int, dtype: torch.dtype, train: int = 60, atoms: int = 13) -> Objective:
    """The loss on toy molecules after a few steps of training, so that the spectrum is not that of noise."""
    torch.manual_seed(0)
    task = force_field(toys(samples, atoms))
    batch, optimizer = task.batch(np.arange(samples)), torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(train):
        optimizer.zero_grad()
        found = model(batch.inputs)
        sum(((found[t.name] - batch.targets[t.name]) ** 2).mean() for t in task.terms).backward()
        optimizer.step()
    return Objective(model.to(dtype), task, batch, sample_rotations("D2", samples, 0, 0), samples)


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
        self.operator, self.noise = operator(objective, PART), torch.finfo(objective.parameters.dtype).eps

    def product(self, vector):
        return self.operator(vector[:, None])[:, 0]

    def top(self):
        found = lanczos(self.operator, rademacher(self.operator.size, PROBES, 0), STEPS, noise=self.noise)
        return found.top(TOP)[0]

    def density(self):
        """Part of the same run."""

    def products(self):
        return self.operator.products


class OursNarrow(Ours):
    """The same with a basis in float32."""

    def top(self):
        probes = rademacher(self.operator.size, PROBES, 0).float()
        return lanczos(self.operator, probes, STEPS, noise=self.noise).top(TOP)[0]


class PyHessian:
    """Ranks by size. `torch.eig`, which it calls, is gone from torch: replaced by `eigh`."""

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
        return self.hessian.eigenvalues(top_n=TOP)[0]

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


TOOLS = {"twirlscope": Ours, "its basis in float32": OursNarrow, "PyHessian": PyHessian, "curvlinops": Curvlinops}
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


def seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def products(objective: Objective) -> float:
    """Prints what a product costs in every mode, in gradients; returns the ratio of `cached`."""
    block = rademacher(len(objective.parameters), PROBES, 0).to(objective.parameters)
    runs = {"gradient": lambda: objective.gradients(objective.parameters, [PART])}
    for curvature in CURVATURES:
        for mode in MODES:
            made = operator(objective, PART, curvature, mode)
            runs[curvature, mode] = lambda made=made: made(block)
    times = {name: np.zeros(ROUNDS) for name in runs}
    for round_ in range(-1, ROUNDS):  # the first warms up
        for name, run in runs.items():
            times[name][round_] = seconds(run) / (1 if name == "gradient" else PROBES)
    base = times.pop("gradient")
    print(f"One product over one gradient ({base.min() * 1e3:.1f} ms), {PROBES} columns at once, float32:")
    print(
        f"{'':14}{'Hessian':>22}{'Gauss-Newton':>22}\n{'mode':14}{'fastest':>11}{'median':>11}{'fastest':>11}{'median':>11}"
    )
    for mode in MODES:
        row = [f(times[c, mode]) / f(base) for c in CURVATURES for f in (np.min, np.median)]
        print(f"{mode:14}" + "".join(f"{r:11.2f}" for r in row) + ("   in float64" if mode == "difference" else ""))
    return times["hessian", "cached"].min() / base.min()


def compare(objective: Objective, tools: list[str]) -> None:
    """Prints what eigenvalues and a density cost with each tool."""
    print(f"\nTop {TOP} eigenvalues and {PROBES} x {STEPS} Lanczos steps, n = {len(objective.parameters)}, float32:")
    print(f"{'':22}{'CPU s':>9}{'products':>10}{'it / ours':>11}{'goal':>7}{'worst of top 10':>18}")
    first, reference = None, None
    for name in tools:
        with restored():
            try:
                tool, found = TOOLS[name](objective), []
                spent = seconds(lambda t=tool, f=found: (f.append(t.top()), t.density()))
            except Exception as error:
                print(f"{name:22} raises {type(error).__name__}: {str(error).splitlines()[0][:80]}")
                continue
        values = np.sort(np.asarray(found[0], dtype=float))[::-1]
        first, reference = first or spent, values if reference is None else reference
        goal = f"{GOALS[name]:.1f}x" if name in GOALS else ""
        ratio = f"{spent / first:10.2f}x{goal:>7}"
        worst = "reference" if values is reference else f"{np.abs(values / reference - 1).max():.0e}"
        print(f"{name:22}{spent:9.1f}{tool.products():10d}{ratio}{worst:>18}")


def check(label: str, objective: Objective, tools: list[str]) -> None:
    """Prints errors against the dense Hessian in float64, with the tools in float64, too."""
    size = len(objective.parameters)
    matrix = operator(objective, PART)(torch.eye(size, dtype=torch.float64))
    exact = dense(matrix).value[::-1]
    by_size = np.sort(exact[np.argsort(-np.abs(exact))[:TOP]])[::-1]
    vector = rademacher(size, 1, 1)[:, 0]
    print(f"\n{label}, n = {size}, float64: errors against the dense Hessian")
    print(f"{'':22}{'a product':>11}{'symmetry':>11}{'worst of top 10':>18}")
    for name in tools:
        with restored():
            try:
                tool = TOOLS[name](objective)
                product, other = tool.product(vector).detach(), tool.product(vector.roll(1) * vector).detach()
                values = np.sort(np.asarray(tool.top(), dtype=float))[::-1]
            except Exception as error:
                print(f"{name:22} raises {type(error).__name__}: {str(error).splitlines()[0][:80]}")
                continue
        off = (product - matrix @ vector).norm() / (matrix @ vector).norm()
        skew = (vector.roll(1) * vector @ product - vector @ other).abs() / (product.norm() * vector.norm())
        known = by_size if name == "PyHessian" else exact[:TOP]
        worst = np.abs(values - known).max() / np.abs(known).max()
        print(
            f"{name:22}{off:11.0e}{skew:11.0e}{worst:18.0e}"
            + ("  of the largest by size" if name == "PyHessian" else "")
        )


def main() -> int:
    """1 if a product costs more than the limit."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    tools = [t for t in TOOLS if t not in PACKAGES or find_spec(PACKAGES[t])]
    absent = [t for t in TOOLS if t not in tools]
    ratio = products(problem(attention(48, 3), 2, torch.float32))
    compare(problem(attention(32, 2), 4, torch.float32), tools)
    tools.remove("its basis in float32")
    check("Attention without a layer norm", problem(attention(8, 1), 2, torch.float64, atoms=6), tools)
    check("Transformer with torch's layer norm", problem(Transformer(), 2, torch.float64, atoms=6), tools)
    if absent:
        print(f"\nNot installed, so left out: {', '.join(absent)} (the extra `baselines`)")
    print(f"\nproduct / gradient {ratio:.2f}; limit {LIMIT:.1f}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
