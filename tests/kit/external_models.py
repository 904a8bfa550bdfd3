"""Factories of calculators for tests, run by the Python of the environment that has the package. No twirlscope here."""


def chgnet():
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu")


def mace():
    """A MACE with random weights."""
    import numpy as np
    import torch
    from mace import modules  # before e3nn 0.4.4, which torch refuses to load otherwise
    from mace.calculators import MACECalculator
    from e3nn import o3  # isort: skip

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    model = modules.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=6,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=3,
        hidden_irreps=o3.Irreps("16x0e + 16x1o"),
        MLP_irreps=o3.Irreps("8x0e"),
        atomic_energies=np.array([-13.0, -1030.0, -2040.0]),
        avg_num_neighbors=8.0,
        atomic_numbers=[1, 6, 8],
        correlation=2,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    return MACECalculator(models=[model], device="cpu", default_dtype="float32")


def pet(model=""):
    """A PET with random weights, or an exported model."""
    from metatomic_ase import MetatomicCalculator

    return MetatomicCalculator(model or random_pet(), device="cpu")


def random_pet():
    """An exported PET with random weights."""
    import torch
    from metatrain.pet import PET
    from metatrain.utils.architectures import get_default_hypers
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_energy_target_info

    torch.manual_seed(0)
    target = get_energy_target_info("energy", {"unit": "eV"}, add_position_gradients=True)
    info = DatasetInfo(length_unit="angstrom", atomic_types=[1, 6, 8], targets={"energy": target})
    small = {"d_pet": 16, "d_head": 16, "d_node": 16, "d_feedforward": 16, "num_heads": 2, "cutoff": 4.0}
    return PET(get_default_hypers("pet")["model"] | small, info).to(torch.float32).export()
