"""Large linear layers with their weights laid out for the processor, for policies that act on a CPU."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Layers with fewer weights are done sooner than oneDNN is called: on an AVX-512 core ACT as published takes 17 ms a
#: chunk and not 27 ms with this, the small presets, whose layers are below it, would take half as long again.
LARGE = 2**17

Module = TypeVar("Module", bound=nn.Module)


class PackedLinear(nn.Linear):
    """A linear layer that multiplies by a packed copy of its weight, made once: the same within rounding.

    Where a gradient is asked for, under autocast and for other dtypes it is a plain linear layer.
    """

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or input.dtype != torch.float32:
            return F.linear(input, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(input, self._packed, self.bias, "none", [], "")


def packed(module: Module) -> Module:
    """`module` itself, its large float32 layers packed; unchanged off the CPU, and where torch has no oneDNN.

    Weights keep their names and values. What is packed is for acting: weights that change later are not seen.
    """
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear):
                if not isinstance(child, PackedLinear) and _worth_it(child.weight):
                    setattr(module, name, PackedLinear(child))
            else:
                packed(child)
    return module


def _worth_it(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.numel() >= LARGE
