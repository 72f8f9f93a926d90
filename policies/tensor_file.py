"""Tensors in safetensors files: written whole or not at all, read without trusting them. Nothing is ever unpickled."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from robotics.errors import DataError
from robotics.outputs import write_atomically


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors`, whatever device they are on, to `path` atomically."""
    write_atomically(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def read_tensors(path: Path, expected: Mapping[str, Tensor], besides: bool = False) -> dict[str, Tensor]:
    """The tensors in `path`, on the CPU: the same names, shapes and types as `expected`, all finite.

    With `besides` there may be others, which are left out.

    Raises DataError naming `path` and the first thing that is wrong with it.
    """
    tensors = _read(path)
    if besides:
        tensors = {name: tensor for name, tensor in tensors.items() if name in expected}
    for problem, names in (("lacks", set(expected) - set(tensors)), ("has unknown", set(tensors) - set(expected))):
        if names:
            first, rest = min(names), f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise DataError(f"{path}: {problem} tensor '{first}'{rest}; it belongs to another policy")
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            raise DataError(f"{path}: tensor '{name}' is {_describe(tensor)}, expected {_describe(wanted)}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DataError(f"{path}: tensor '{name}' holds values that are not finite")
    return tensors


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: can not be read ({error.strerror})") from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{path}: damaged or no safetensors file ({str(error).splitlines()[0]})") from None


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
