"""Arguments of the command `twirl`; importing this module is instant."""

from __future__ import annotations

import argparse

EXITS = (
    "Exit status: 0 within all bounds; 3 above one (the lower end of the interval is); 4 undecidable (the interval "
    "contains the bound, or a floor is above it, or too many structures failed); 1 error."
)
BOUNDS = {  # option, term, variable, unit
    "max_force": ("forces", "loss_equiv", "meV/Å"),
    "max_energy": ("energy", "loss_equiv", "meV/atom"),
    "max_stress": ("stress", "loss_equiv", "meV/Å³"),
    "max_o3": ("forces", "o3_loss_equiv", "meV/Å"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add, flag = parser.add_argument, argparse.BooleanOptionalAction
    add("--calculator", required=True, help="`module:name` or `file.py:factory` of a calculator of ASE")
    add("--arguments", default="{}", help="keyword arguments of the calculator, as JSON")
    add("--structures", required=True, nargs="+", help="extended XYZ files (also .gz), or any file that ASE reads")
    add("--trust", action="store_true", help="required: the command runs code of the calculator's package and files")
    add("--python", default="", help="Python of the calculator's environment (default: this one)")
    add("--batched", default="", help="mace, chgnet, metatomic or `file.py:function`: many structures in one call")
    add("--checkpoint", default="", help="file that stands for {checkpoint} in the arguments")
    for name, (term, variable, unit) in BOUNDS.items():
        group = "rotations and reflections" if variable.startswith("o3") else "rotations"
        add(f"--{name.replace('_', '-')}", type=float, help=f"bound of the error of {term} under {group} [{unit}]")
    add("--max-failed", type=float, default=0.1, help="share of failed structures above which nothing is decided")
    add("--samples", type=int, default=0, help="structures drawn at random (default: all)")
    add("--rotations", type=int, default=4, help="independent rotations per structure, 2 or more")
    add("--reflections", type=int, default=2, help="independent rotoreflections per structure; 0 for none")
    add("--panel", type=int, default=24, help="structures under many rotations, for the spectrum; below 2 for none")
    add("--seed", type=int, default=0, help="of rotations, samples and resamples")
    add("--labels", default="optional", choices=["optional", "none"], help="labels in the files: used, or ignored")
    add("--energy-key", default="energy", help="name of the energy label in the files")
    add("--forces-key", default="forces", help="name of the force labels in the files")
    add("--stress", action="store_true", help="measure stresses too")
    add("--subtract-noise", action="store_true", help="subtract the variance of the noise of repeated calls")
    add("--jacobian", type=int, default=0, help="structures whose force Jacobian is measured by displacements")
    add("--reset", action=flag, default=True, help="call reset() of the calculator before every structure")
    add("--workers", type=int, default=1, help="processes that share the structures")
    add("--batch", type=int, default=32, help="structures in one call of the batch function")
    add("--timeout", type=float, default=600.0, help="longest time for a structure or batch [s]")
    add("--max-calls", type=int, default=0, help="calls above which nothing is started; 0 for no limit")
    add("--cache", default="", help="file of the answers (default: beside --out), with which a stopped command goes on")
    add("--out", default="", help="store of all numbers, `.zarr.zip`")
    add("--report", default="", help="folder for the report of these numbers, as HTML, figures and CSV; needs --out")
