"""Which elements carry the equivariance error of a term: its shares by element, as a table."""

from __future__ import annotations

import pandas as pd

from .hints import Sequence
from .page import Table
from .trainings import Training

SYMBOLS = (  # by atomic number, from 1
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv "
    "Ts Og"
)


def attribution_table(trainings: Sequence[Training]) -> Table | None:
    """One row a training and element at the last checkpoint; None where the task has no elements."""
    rows = [row for training in trainings if "element_loss_equiv" in training.twirl for row in _rows(training)]
    if not rows:
        return None
    caption = (
        "The force term at the last checkpoint by element of the atom: its share of the total loss, its share of the "
        "equivariance error, and the equivariance error of its atoms as a share of their own loss."
    )
    return Table("elements", caption, pd.DataFrame(rows))


def _rows(training: Training) -> list[dict]:
    """The shares of the elements of one training; they add up to 100 %."""
    last = training.twirl.isel(step=-1)
    total, equiv = last["element_loss_total"], last["element_loss_equiv"]
    return [
        {
            "run": training.run,
            "seed": training.seed,
            "element": SYMBOLS.split()[int(z) - 1],
            "share of the total loss [%]": 100 * float(total.sel(element=z) / total.sum()),
            "share of the equivariance error [%]": 100 * float(equiv.sel(element=z) / equiv.sum()),
            "equivariance error [%]": 100 * float(equiv.sel(element=z) / total.sel(element=z)),
        }
        for z in last["element"].values
    ]
