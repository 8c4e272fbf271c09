"""WCAG 2.2 contrast (1.4.3, 1.4.11) of every pair of colours that the style sheet puts together, light and dark."""

from __future__ import annotations

import re
from importlib import resources

import pytest

STYLE = resources.files("posture.reporters").joinpath("templates/style.css").read_text("utf-8")
THEMES = {
    name: dict(re.findall(r"--([a-z]+):(#[0-9a-f]{3,6})", block))
    for name, block in zip(("light", "dark", "print"), re.findall(r":root\{(.*?)\}", STYLE, re.DOTALL), strict=True)
}
TEXT = ("ink", "soft", "link", "a", "b", "c", "d", "e", "none")
GROUNDS = ("bg", "card", "cap", "remedy")


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_the_standard_says() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("text", TEXT)
def test_text_stands_out_from_every_ground(theme: str, text: str) -> None:
    colours = THEMES[theme]
    for ground in GROUNDS:
        assert contrast(colours[text], colours[ground]) >= 4.5, ground


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_focus_ring_and_filled_labels_stand_out(theme: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours["focus"], colours["bg"]) >= 3
    assert contrast(colours["card"], colours["e"]) >= 4.5
