"""A small PET trained by metatrain, one export per checkpoint. Run by the Python that has metatrain.

    python train_pet.py train.xyz folder --epochs 8

Writes folder/epoch_{step}.pt with the weights of that epoch. `mtt export` itself writes the weights of the best epoch
so far, so that several exports can be one model.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

OPTIONS = """
seed: 0
device: cpu
base_precision: 32
architecture:
  name: pet
  model: {{cutoff: 4.0, d_pet: 32, d_head: 32, d_node: 64, d_feedforward: 64, num_heads: 4, num_attention_layers: 1}}
  training: {{num_epochs: {epochs}, batch_size: 10, learning_rate: 2.0e-3, checkpoint_interval: 1, num_workers: 0}}
training_set:
  systems: {{read_from: {data}, length_unit: angstrom}}
  targets:
    energy: {{key: energy, unit: eV, forces: {{key: forces}}}}
validation_set: 0.1
test_set: 0.0
"""


def main(data: Path, folder: Path, epochs: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.yaml").write_text(OPTIONS.format(epochs=epochs, data=data.resolve()))
    command = [sys.executable, "-m", "metatrain"]
    subprocess.run([*command, "train", "options.yaml"], cwd=folder, check=True)
    export(folder, command)


def export(folder: Path, command: list[str]) -> None:
    """One exported model per checkpoint, with the weights of its own epoch."""
    import metatomic.torch  # noqa: F401  its classes are in the checkpoints
    import torch

    for path in sorted((folder / "outputs").rglob("model_*.ckpt")):
        step = int(re.search(r"model_(\d+)\.ckpt", path.name)[1])
        checkpoint = torch.load(path, weights_only=False, map_location="cpu")
        checkpoint["best_model_state_dict"] = checkpoint["model_state_dict"]
        own = folder / f"own_{step}.ckpt"
        torch.save(checkpoint, own)
        subprocess.run([*command, "export", own.name, "--output", f"epoch_{step}.pt"], cwd=folder, check=True)
        own.unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    chosen = parser.parse_args()
    main(chosen.data, chosen.folder, chosen.epochs)
