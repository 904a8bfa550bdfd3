"""Colours of the page, light and dark."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from twirlscope.report import page

CSS = (Path(page.__file__).parent / "page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.+?)\}", CSS, re.DOTALL)[:2]
)


def contrast(one, other):
    """Ratio of luminances. Source: WCAG 2.2."""
    rgb = np.array([to_rgb(one), to_rgb(other)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    low, high = np.sort(linear @ [0.2126, 0.7152, 0.0722])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, LIGHT | DARK], ids=["light", "dark"])
def test_text__can_be_read_on_the_page_on_cards_in_filter_boxes_and_in_notes(scheme):
    boxes = re.search(r"\.filter input \{(.+?)\}", CSS, re.DOTALL)[1]
    assert "background: var(--card)" in boxes
    assert "color: var(--ink)" in boxes
    for ground in ("paper", "card", "note"):
        for text, least in (("ink", 7), ("soft", 4.5), ("link", 4.5)):
            assert contrast(scheme[text], scheme[ground]) > least, (text, ground)
