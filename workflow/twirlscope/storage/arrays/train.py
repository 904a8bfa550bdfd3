"""Arrays of the store `train`: learning curve, checkpoints and cost."""

from __future__ import annotations

from .coordinates import COORDINATES
from .declaration import declared

FLOPS = "torch.utils.flop_counter"
OMITTED = "elementwise operations, norms, sums, indexing, spectral transforms, custom kernels"

TRAIN = COORDINATES | {
    "loss": declared("update", "float32", "1", "training loss of the batch: weighted sum of the terms"),
    "gradient_norm": declared("update", "float32", "1", "norm of the gradient before clipping"),
    "learning_rate": declared("update", "float32", "1", "learning rate of the update"),
    "checkpoint_file": declared(
        "step", "str", "1", "file name of the checkpoint, in the folder named by the attribute"
    ),
    "checkpoint_sha256": declared("step", "str", "1", "SHA-256 of the checkpoint file"),
    "update_file": declared(
        "step", "str", "1", "file with the last update of the optimiser before the checkpoint; empty at step 0"
    ),
    "update_sha256": declared("step", "str", "1", "SHA-256 of the file of the update"),
    "elapsed": declared(
        "update",
        "float64",
        "s",
        "time of training up to and including the update, without time for measuring and saving",
    ),
    "quantity": declared("quantity", "str", "1", "name of a quantity that the objective records"),
    "objective_quantity": declared(
        "update quantity", "float32", "1", "quantity of the objective, mean over the samples of the update"
    ),
    "forward_rows": declared("", "float64", "1", "rotated samples that pass through the model in an update"),
    "backward_rows": declared("", "float64", "1", "rotated samples of an update that gradients flow back through"),
    "flops_update": declared(
        "", "float64", "1", f"FLOPs of an update: forward, backward, optimiser; not counted: {OMITTED}", FLOPS
    ),
    "flops_inference": declared(
        "", "float64", "1", f"FLOPs of a forward pass per sample; not counted: {OMITTED}", FLOPS
    ),
    "seconds_update": declared("", "float64", "s", "median time of an update"),
    "seconds_inference": declared(
        "", "float64", "s", "median time of a forward pass of a batch after warm-up, per sample"
    ),
    "memory_peak": declared(
        "", "float64", "MB", "peak memory of all tensors in an update: weights, optimiser, activations"
    ),
    "device_hours": declared("", "float64", "h", "elapsed times the number of GPUs, or of threads on a CPU"),
    "device_energy": declared(
        "", "float64", "J", "energy used by the GPU, or the processor, during all updates; NaN without a counter"
    ),
}
