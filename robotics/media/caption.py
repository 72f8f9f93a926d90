"""The strip under a film that says what one is looking at."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_BACKGROUND, _TEXT, _FAINT = (22, 24, 29), (240, 240, 240), (160, 165, 175)
_GOOD, _BAD, _NEUTRAL = (94, 203, 128), (240, 100, 90), (240, 190, 90)


@dataclass(frozen=True)
class Caption:
    """What does not change during a film."""

    title: str
    """The task, in words."""
    detail: str
    """Policy, seed, speed."""
    outcome: str
    success: bool | None

    def strip(self, width: int, clock: str) -> np.ndarray:
        """uint8 (h, width, 3) with even h: title and outcome above, detail and `clock` below."""
        size = max(11, width // 42)
        height = (size * 7 // 2 + 1) // 2 * 2
        image = Image.new("RGB", (width, height), _BACKGROUND)
        draw, font, small = ImageDraw.Draw(image), _font(size), _font(size * 6 // 7)
        margin, upper, lower = size // 2, height // 14, height // 2
        colour = _NEUTRAL if self.success is None else _GOOD if self.success else _BAD
        taken = self._right(draw, width - margin, upper, self.outcome, font, colour)
        draw.text((margin, upper), _fitted(draw, self.title, font, width - taken - 3 * margin), _TEXT, font)
        taken = self._right(draw, width - margin, lower, clock, small, _FAINT)
        draw.text((margin, lower), _fitted(draw, self.detail, small, width - taken - 3 * margin), _FAINT, small)
        return np.asarray(image)

    @staticmethod
    def _right(
        draw: ImageDraw.ImageDraw, right: int, top: int, text: str, font: ImageFont.FreeTypeFont, colour: tuple
    ) -> int:
        """Draw `text` flush right; returns its width."""
        length = round(draw.textlength(text, font))
        draw.text((right - length, top), text, colour, font)
        return length


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `width` pixels."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "…", font) > width:
        text = text[:-1]
    return text.rstrip() + "…"
