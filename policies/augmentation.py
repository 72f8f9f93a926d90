"""Random shifts and colours for camera images, on the device that trains, and only in training."""

import torch
from torch import Tensor, nn


class ImageAugmentation(nn.Module):
    """Images (B, h, w, 3), uint8 or float on [0, 255], to float on [0, 255]; unchanged outside of `train()`.

    Every image draws its own shift of up to `shift` pixels, its border repeated (Yarats et al. 2021, DrQ-v2), and its
    own factors 1 ± `colour` of brightness, contrast and saturation. A shift and a crop of the shifted size are the same
    view; a shift keeps the image's size, so that acting needs no crop.
    """

    def __init__(self, shift: int, colour: float) -> None:
        super().__init__()
        self.shift, self.colour = shift, colour

    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.shift:
            images = shifted(
                images, *torch.randint(-self.shift, self.shift + 1, (2, len(images)), device=images.device)
            )
        images = images.float()
        if self.training and self.colour:
            factors = 1 + self.colour * (2 * torch.rand(3, len(images), 1, 1, 1, device=images.device) - 1)
            images = recoloured(images, *factors)
        return images


def shifted(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Images (B, h, w, 3) moved by whole pixels (B,) each; the border pixel fills what is uncovered."""
    count, height, width = images.shape[:3]
    rows = torch.arange(height, device=images.device) - down[:, None]
    columns = torch.arange(width, device=images.device) - right[:, None]
    image = torch.arange(count, device=images.device)[:, None, None]
    return images[image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]


def recoloured(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Float images on [0, 255] with each factor applied, in this order, and clipped to the range at the end."""
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + contrast * (images - mean)
    grey = images.mean(dim=3, keepdim=True)
    return (grey + saturation * (images - grey)).clamp(0.0, 255.0)
