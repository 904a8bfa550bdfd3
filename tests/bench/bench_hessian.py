"""Cost of curvature beside a gradient and beside other tools, and errors of their numbers."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import torch
from bench_twirl import force_field, toys
from curvature_tools import PART, PROBES, STEPS, TOOLS, TOP, installed, restored
from performance import Given, Section, alone
from timing import interleaved, median, ratio, table
from torch import nn

from twirlscope import plugins
from twirlscope.curvature.lanczos import dense, rademacher
from twirlscope.curvature.objective import Objective
from twirlscope.curvature.operators import CURVATURES, MODES, operator
from twirlscope.geometry.rotation_sets import sample_rotations

ROUNDS, LIMIT = 7, 2.3
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


def products(objective: Objective, rounds: int) -> tuple[str, float]:
    """Table of the cost of a product in every mode, in gradients, and the median ratio of `cached`."""
    block = rademacher(len(objective.parameters), PROBES, 0).to(objective.parameters)
    works = {"gradient": lambda: objective.gradients(objective.parameters, [PART])}
    for curvature in CURVATURES:
        for mode in MODES:
            made = operator(objective, PART, curvature, mode)
            works[curvature, mode] = lambda made=made: made(block)
    seconds = interleaved(works, rounds)
    found = {key: ratio(seconds[key] / PROBES, seconds["gradient"]) for key in works if key != "gradient"}
    rows = []
    for mode in MODES:
        name = f"`{mode}`" + (", in float64" if mode == "difference" else "")
        rows.append([name, *(f"{found[curvature, mode]:.2f}" for curvature in CURVATURES)])
    text = table(("mode", "Hessian product / gradient", "Gauss-Newton product / gradient"), rows)
    return text, found["hessian", "cached"].value


def spectra(objective: Objective, names: list[str], rounds: int) -> str:
    """Table of the cost of eigenvalues and a density with each tool, relative to ours, round by round."""
    found, refused = {}, {}

    def run(name: str) -> None:
        with restored():
            tool = TOOLS[name](objective)
            top = np.sort(np.asarray(tool.top(), dtype=float))[::-1]
            tool.density()
            found[name] = top, tool.products()

    for name in names:
        try:
            run(name)
        except Exception as error:
            refused[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
    works = {name: lambda n=name: run(n) for name in names if name not in refused}
    seconds, first = interleaved(works, rounds, warm=0), names[0]
    rows = []
    for name in names:
        goal = f"{GOALS[name]:.1f}" if name in GOALS else ""
        if name in refused:
            rows.append([name, refused[name], "", goal, "", ""])
            continue
        (values, count), reference = found[name], found[first][0]
        worst = f"{np.abs(values / reference - 1).max():.0e}"
        worst = {first: "reference", "PyHessian": "takes the largest by size"}.get(name, worst)
        against = f"{ratio(seconds[name], seconds[first]):.2f}"
        rows.append([name, f"{median(seconds[name]):.2f}", against, goal, count, worst])
    return table(("tool", "CPU seconds", "CPU seconds / ours", "goal", "products", "worst of the top 10"), rows)


def errors(objective: Objective, names: list[str]) -> str:
    """Table of errors against the dense Hessian in float64, with the tools in float64, too."""
    size = len(objective.parameters)
    matrix = operator(objective, PART)(torch.eye(size, dtype=torch.float64))
    exact = dense(matrix).value[::-1]
    by_size = np.sort(exact[np.argsort(-np.abs(exact))[:TOP]])[::-1]
    vector, rows = rademacher(size, 1, 1)[:, 0], []
    other = vector.roll(1) * vector
    for name in names:
        with restored():
            try:
                tool = TOOLS[name](objective)
                product, second = tool.product(vector).detach(), tool.product(other).detach()
                values = np.sort(np.asarray(tool.top(), dtype=float))[::-1]
            except Exception as error:
                rows.append([name, f"{type(error).__name__}: {str(error).splitlines()[0][:80]}", "", ""])
                continue
        off = (product - matrix @ vector).norm() / (matrix @ vector).norm()
        skew = (other @ product - vector @ second).abs() / (product.norm() * vector.norm())
        known = by_size if name == "PyHessian" else exact[:TOP]
        worst = np.abs(values - known).max() / np.abs(known).max()
        which = ", of the largest by size" if name == "PyHessian" else ""
        rows.append([name, f"{off:.0e}", f"{skew:.0e}", f"{worst:.0e}{which}"])
    return table(("tool", "error of a product", "asymmetry", "worst of the top 10"), rows)


def section(given: Given) -> Section:
    """Section of the page; fails if a product costs more than the limit."""
    warnings.simplefilter("ignore")
    names, rounds = installed(), given.rounds(ROUNDS)
    width, layers = (8, 1) if given.quick else (48, 3)
    modes, cost = products(problem(attention(width, layers), 2, torch.float32), rounds)
    width, layers = (4, 1) if given.quick else (32, 2)
    compared = problem(attention(width, layers), 4, torch.float32)
    size = len(compared.parameters)
    times = spectra(compared, names, given.rounds(5))
    exact = [name for name in names if name != "its basis in float64"]
    small = problem(attention(4 if given.quick else 8, 1), 2, torch.float64, atoms=6)
    norm = problem(Transformer(4 if given.quick else 8), 2, torch.float64, atoms=6)
    absent = [name for name in TOOLS if name not in names]
    missing = f"\nNot installed, so not measured: {', '.join(absent)} (the extra `bench`).\n" if absent else ""
    text = f"""One product over one gradient, per column of {PROBES}, in float32. Limit of `cached`: {LIMIT}.

{modes}
The {TOP} largest eigenvalues and a density from {PROBES} x {STEPS} Lanczos steps, {size:,} parameters, float32. All
tools see the same loss; ours takes both from one run. PyHessian iterates to a change of 1e-6, since by its own settings
its eigenvalues are off by percents. The last column is the largest relative difference from ours.

{times}{missing}
Errors against the dense Hessian in float64, attention without a layer norm, {len(small.parameters)} parameters:

{errors(small, exact)}
The same, a transformer with torch's layer norm, {len(norm.parameters)} parameters:

{errors(norm, exact)}"""
    exceeded = [f"Hessian product / gradient: {cost:.2f}, at most {LIMIT}"] if cost > LIMIT else []
    return Section("Curvature beside a gradient and beside other tools", text, exceeded)


if __name__ == "__main__":
    sys.exit(alone(section, __file__))
