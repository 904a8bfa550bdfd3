"""Text for a paper: a paragraph on trainings and measurements for the methods section, and BibTeX entries."""

from __future__ import annotations

import re
from typing import Any

import xarray as xr

from .._typing import Mapping, Sequence
from .trainings import Training, by_run
from .wording import listed, plural, say

PAPER = """@article{shen2025training,
  title = {Training Dynamics of Learning 3D-Rotational Equivariance},
  author = {Shen, Max W. and Nowara, Ewa and Maser, Michael and Cho, Kyunghyun},
  journal = {Transactions on Machine Learning Research},
  year = {2025},
  note = {arXiv:2512.02303}
}"""

TOOLS = {  # package that every run uses -> its entry
    "twirlscope": "@software{twirlscope,\n  title = {twirlscope},\n  version = {VERSION},\n  year = {2026}\n}",
    "e3nn": """@article{geiger2022e3nn,
  title = {e3nn: Euclidean Neural Networks},
  author = {Geiger, Mario and Smidt, Tess},
  journal = {arXiv preprint arXiv:2207.09453},
  year = {2022}
}""",
    "snakemake": """@article{molder2021snakemake,
  title = {Sustainable data analysis with Snakemake},
  author = {M{\\"o}lder, Felix and Jablonski, Kim Philipp and Letcher, Brice and others},
  journal = {F1000Research},
  volume = {10},
  number = {33},
  year = {2021}
}""",
}

AUGMENTED = {
    "haar": "every training sample turned by a uniformly random rotation",
    "euler_product": "every training sample turned by a product of three random axis rotations",
}


def paragraph(trainings: Sequence[Training]) -> str:
    """Trainings and measurements in sentences for a methods section."""
    runs = [_trained(run, seeds) for run, seeds in by_run(trainings).items()]
    return " ".join([*filter(None, runs), *_measured(trainings)])


def _trained(run: str, seeds: Sequence[Training]) -> str:
    """One run in a sentence; empty if its store does not hold its settings."""
    attrs, spec = seeds[0].attrs, seeds[0].spec
    if not spec:
        return ""
    train = spec["train"]
    times = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    return (
        f"Run {run}: a {spec['model']['name']} network of {attrs['parameters']:,} parameters was trained on "
        f"{attrs['training_samples']:,} samples of the dataset {spec['dataset']} for {train['steps']:,} updates of "
        f"{train['batch']} samples (highest learning rate {say(train['learning_rate'])}, linear warm-up, cosine decay; "
        f"weight decay {say(train['weight_decay'])}; {_average(train['ema'])}; "
        f"{_objective(train.get('objective', {}))}), {times}."
    )


def _objective(section: dict[str, Any]) -> str:
    """The objective of a training in words."""
    if not section:
        return "objective not recorded"
    if section == {"name": "none", "canonical": False}:
        return "no augmentation"
    plain = {"views": 1, "angle": 180.0, "copies": 0}
    if section["name"] == "augment" and all(section.get(name, value) == value for name, value in plain.items()):
        return AUGMENTED[section.get("rotations", "haar")]
    keys = [f"{name} {value}" for name, value in section.items() if name != "name"]
    return f"objective {section['name']}" + (f" with {listed(keys)}" if keys else "")


def _average(decay: float) -> str:
    return f"moving average of the weights with decay {decay:g}" if decay else "no averaging of weights"


def _measured(trainings: Sequence[Training]) -> list[str]:
    """The measurement of the checkpoints, and of their Hessians."""
    found = []
    samples = dict.fromkeys(
        f"the {a['samples']} samples {_clusters(a)}of the split {a['split']} under {a['rotations']} rotations each"
        for a in (t.twirl.attrs for t in trainings)
        if {"samples", "split", "rotations"} <= set(a)
    )
    if samples:
        found.append(
            f"At every checkpoint the loss was split on {listed(list(samples))} into the loss of the twirled "
            "prediction and the equivariance error, both estimated without bias (Shen et al., 2025), with 95 % "
            "intervals by a bootstrap over clusters of samples (studentised)."
        )
    return found + _curvature(trainings)


def _curvature(trainings: Sequence[Training]) -> list[str]:
    """The measurement of the Hessians, with the runs of each kind if there are several kinds."""
    kinds: dict[str, list[str]] = {}
    for run, seeds in by_run(trainings).items():
        for a in (t.hessian.attrs for t in seeds if t.hessian is not None):
            if {"lanczos_steps", "probes", "samples"} <= set(a):
                kind = f"{a['lanczos_steps']} steps of Lanczos iteration from {a['probes']} random vectors on "
                kinds.setdefault(kind + plural(a["samples"], "sample"), []).append(run)
    if not kinds:
        return []
    each = list(kinds)
    if len(kinds) > 1:
        each = [
            f"{kind} (run{'s' if len(set(r)) > 1 else ''} {listed(list(dict.fromkeys(r)))})"
            for kind, r in kinds.items()
        ]
    return [f"The eigenvalue distributions of the Hessians of both parts were estimated by {listed(each)}."]


def _clusters(attrs: Mapping[str, Any]) -> str:
    """The number of clusters of the samples, if some clusters have several."""
    clusters = attrs.get("clusters", attrs["samples"])
    return f"({clusters} independent clusters) " if clusters < attrs["samples"] else ""


def bibtex(data: Mapping[str, xr.Dataset], versions: Mapping[str, str]) -> str:
    """Entries for the definition of the measure, for the software, and for datasets with a citation."""
    entries = [PAPER, *(text.replace("VERSION", versions.get(name, "")) for name, text in TOOLS.items())]
    for name, dataset in data.items():
        if dataset.attrs.get("citation"):
            key = re.sub(r"[^A-Za-z0-9]", "", name).lower()
            entries.append(
                f"@misc{{{key},\n  title = {{Dataset {name}}},\n  note = {{{dataset.attrs['citation']}}}\n}}"
            )
    return "\n\n".join(entries)
