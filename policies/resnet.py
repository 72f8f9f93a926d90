"""ResNet-18 (He et al. 2016) with GroupNorm, as a map from images to a grid of features.

Parameters carry torchvision's names, so that ImageNet weights load where a user has them, by `train --weights FILE`
(the convolutions are the same; the affine weights of `bn*` then belong to a GroupNorm). GroupNorm, because batch
statistics and an exponential moving average of the weights do not fit together (Chi et al. 2023, Diffusion Policy,
§"Visual encoder").
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: By how much the feature map is smaller than the image -> its channels. 16 leaves out the last stage.
CHANNELS = {16: 256, 32: 512}


class ResNet18(nn.Module):
    """Images (B, 3, h, w), normalised, to features (B, CHANNELS[stride], ⌈h/stride⌉, ⌈w/stride⌉)."""

    def __init__(self, stride: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = _norm(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64), BasicBlock(64, 64))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, stride=2), BasicBlock(128, 128))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, stride=2), BasicBlock(256, 256))
        if stride == 32:
            self.layer4 = nn.Sequential(BasicBlock(256, 512, stride=2), BasicBlock(512, 512))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.layer4(x) if hasattr(self, "layer4") else x


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, which is a 1×1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = _norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = _norm(outputs)
        same = stride == 1 and inputs == outputs
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), _norm(outputs))
        self.downsample = None if same else shortcut

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class GroupNorm(nn.GroupNorm):
    """In the precision its input comes in, its sums in fp32.

    Autocast would widen the input to fp32 and hand that on, and an image network is bound by what it moves.
    """

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def _norm(channels: int) -> nn.GroupNorm:
    return GroupNorm(channels // 16, channels)
