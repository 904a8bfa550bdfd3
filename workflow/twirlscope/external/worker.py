"""Worker process that evaluates a calculator of ASE, run as a file by the Python of the calculator's environment.

The file imports NumPy and ASE only. Messages on stdin and stdout are length-prefixed: a header in JSON, then arrays as
npz without pickle. Whatever the calculator prints goes to stderr. An answer is sent as soon as its structure is done,
so that a process that dies loses nothing that it has computed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import io
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from ase import Atoms

PROPERTIES = ("energy", "forces", "stress")  # [eV], [eV/Å], [eV/Å^3] with 3 x 3 components
LENGTH = struct.Struct("<QQ")  # bytes of the header and of the arrays of a message
STATE = ("charge", "spin")  # total charge [e] and spin multiplicity of a structure, in `Atoms.info`
PACKAGES = ("numpy", "ase", "torch", "e3nn", "jax", "tensorflow", "metatomic-torch")  # versions reported, if imported


def send(stream: BinaryIO, header: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """Write one message."""
    text, content = json.dumps(header).encode(), io.BytesIO()
    if arrays:
        np.savez(content, **arrays)
    stream.write(LENGTH.pack(len(text), content.tell()) + text + content.getvalue())
    stream.flush()


def decoded(text: bytes, content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a message from their bytes."""
    if not content:
        return json.loads(text), {}
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return json.loads(text), dict(arrays)


def receive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """The next message, or None at the end of the stream."""
    lengths = stream.read(LENGTH.size)
    if len(lengths) < LENGTH.size:
        return None
    header, content = LENGTH.unpack(lengths)
    return decoded(stream.read(header), stream.read(content))


def packed(frames: list[Atoms]) -> dict[str, np.ndarray]:
    """Structures as arrays; the atoms of all structures lie one after another."""
    found = {
        "atoms": np.array([len(f) for f in frames], np.int64),
        "numbers": np.concatenate([f.numbers for f in frames]).astype(np.int64),
        "positions": np.concatenate([f.positions for f in frames]).astype(np.float64),
        "cell": np.array([np.asarray(f.cell) for f in frames], np.float64),
        "pbc": np.array([f.pbc for f in frames], bool),
    }
    return found | {k: np.array([f.info.get(k, np.nan) for f in frames], np.float64) for k in STATE}


def unpacked(arrays: dict[str, np.ndarray]) -> list[Atoms]:
    """The structures that `packed` made arrays of."""
    frames, first = [], 0
    for i, count in enumerate(arrays["atoms"].tolist()):
        atoms = slice(first, first + count)
        state = {k: int(arrays[k][i]) for k in STATE if np.isfinite(arrays[k][i])}
        frames.append(
            structure(arrays["numbers"][atoms], arrays["positions"][atoms], arrays["cell"][i], arrays["pbc"][i], state)
        )
        first += count
    return frames


def structure(
    numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, state: dict[str, int]
) -> Atoms:
    """A structure whose charge and spin are found by calculators that read `info` and by those that read the atoms."""
    frame = Atoms(numbers=numbers, positions=positions, cell=cell, pbc=pbc, info=dict(state))
    if charge := state.get("charge", 0):
        frame.set_initial_charges(np.full(len(frame), charge / len(frame)))
    if unpaired := state.get("spin", 1) - 1:
        frame.set_initial_magnetic_moments(np.full(len(frame), unpaired / len(frame)))
    return frame


def imported(name: str) -> Any:
    """The object that `module:name` or `file.py:name` names."""
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py"):
        path = Path(place).resolve()
        sys.path.append(str(path.parent))  # last: a file named after a package must not hide it
        spec = importlib.util.spec_from_file_location(f"external_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    for part in attribute.split("."):
        module = getattr(module, part)
    return module


def one_result(calculator: Any, frame: Atoms, properties: tuple[str, ...], reset: bool = True) -> dict[str, np.ndarray]:
    """Properties of one structure.

    A calculator that starts from its last solution gives another answer in every order of calls, so it is reset.

    Raises:
        ValueError: a property that is not finite.
    """
    if reset and hasattr(calculator, "reset"):
        calculator.reset()
    frame.calc = calculator
    found = {}
    for name in sorted(properties, reverse=True):  # the derivatives first: they come with the energy
        if name == "energy":
            found[name] = np.asarray(frame.get_potential_energy(), np.float64).reshape(())
        elif name == "forces":
            found[name] = np.array(frame.get_forces(), np.float64)
        else:
            found[name] = np.array(frame.get_stress(voigt=False), np.float64)
    frame.calc = None
    return checked(found, frame)


def checked(found: dict[str, np.ndarray], frame: Atoms) -> dict[str, np.ndarray]:
    """The result in float64, after a check of its shapes and that every number is finite.

    Raises:
        ValueError: a wrong shape, or a number that is not finite.
    """
    shapes = {"energy": (), "forces": (len(frame), 3), "stress": (3, 3)}
    for name, value in found.items():
        value = np.asarray(value, np.float64).reshape(()) if name == "energy" else np.asarray(value, np.float64)
        if value.shape != shapes[name]:
            raise ValueError(f"{name} of shape {list(value.shape)}, not {list(shapes[name])}")
        if not np.isfinite(value).all():
            raise ValueError(f"{name} not finite")
        found[name] = value
    return found


class Evaluator:
    """A calculator with its settings, in the process that has its package.

    Args:
        spec: `calculator`, `arguments`, `batched` (file.py:function, or empty) and `reset`.
        calculator: the object itself, if it is there already.
    """

    def __init__(self, spec: dict[str, Any], calculator: Any = None):
        self.reset = spec.get("reset", True)
        if calculator is None:
            calculator = imported(spec["calculator"])(**spec.get("arguments", {}))
        self.calculator = calculator
        self._batch = imported(spec["batched"]) if spec.get("batched") else None

    def results(self, frames: list[Atoms], properties: tuple[str, ...]):
        """(index, result or text of the error) of each structure, as soon as it is known.

        A batch that fails is done again one by one.
        """
        done = self._batched(frames, properties) if self._batch else {}
        yield from done.items()
        for i, frame in enumerate(frames):
            if i not in done:
                yield i, self._single(frame, properties)

    def _single(self, frame: Atoms, properties: tuple[str, ...]) -> dict[str, np.ndarray] | str:
        try:
            return one_result(self.calculator, frame, properties, self.reset)
        except Exception as error:
            return f"{type(error).__name__}: {error}".strip()

    def _batched(self, frames: list[Atoms], properties: tuple[str, ...]) -> dict[int, dict[str, np.ndarray]]:
        """Results of a batch by index; without those that are not right, and empty if the batch fails."""
        try:
            found = list(self._batch(self.calculator, [f.copy() for f in frames], properties))
            if len(found) != len(frames):
                raise ValueError(f"{len(found)} results for {len(frames)} structures")
        except Exception as error:
            print(f"batch of {len(frames)} failed, one by one now: {type(error).__name__}: {error}", file=sys.stderr)
            return {}
        right = {}
        for i, (each, frame) in enumerate(zip(found, frames, strict=True)):
            try:
                right[i] = checked({name: each[name] for name in properties}, frame)
            except (ValueError, KeyError, TypeError) as error:
                print(f"structure {i} of a batch: {type(error).__name__}: {error}", file=sys.stderr)
        return right


@functools.cache
def _distributions() -> dict[str, list[str]]:
    """Installed distributions of every top-level module; to search for them takes tenths of a second."""
    return importlib.metadata.packages_distributions()


def versions(spec: dict[str, Any]) -> dict[str, str]:
    """Versions of Python, of the calculator's package and of the numerical packages that it has imported."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    owner = _distributions()
    modules = [spec["calculator"].partition(":")[0].split(".")[0]]
    named = {name: name for module in modules for name in owner.get(module, [])}
    for package in (*named, *PACKAGES):
        try:
            if package in named or package.split("-")[0] in sys.modules:
                found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def serve(reader: BinaryIO, writer: BinaryIO) -> None:
    """Answer requests until the stream of requests ends."""
    spec, _ = receive(reader)
    try:
        evaluator = Evaluator(spec)
    except BaseException as error:  # also SystemExit: the client learns the reason in every case
        send(writer, {"fault": f"{type(error).__name__}: {error}".strip()})
        return
    implemented = getattr(evaluator.calculator, "implemented_properties", PROPERTIES)
    offered = [name for name in PROPERTIES if name in implemented]
    send(writer, {"ready": True, "versions": versions(spec), "properties": offered})
    while (message := receive(reader)) is not None:
        header, arrays = message
        frames = unpacked(arrays)
        for index, result in evaluator.results(frames, tuple(header["properties"])):
            failed = isinstance(result, str)
            send(writer, {"index": index, "error": result if failed else ""}, None if failed else result)


def main() -> None:
    """Serve on the streams that the process was started with; prints of the calculator go to stderr."""
    here = str(Path(__file__).parent)
    sys.path[:] = [p for p in sys.path if p != here] + [os.getcwd()]  # the modules beside this file are not for it
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    serve(reader, writer)


if __name__ == "__main__":
    main()
