"""Draws docs/workflow.svg, the six stages of the workflow: `python docs/draw_workflow.py`."""

from html import escape
from pathlib import Path

OUT = Path(__file__).with_name("workflow.svg")
WIDTH, HEIGHT = 176, 74  # of a box
STAGES = {  # left and top of the box, fill, and what the stage makes
    "prepare": ((12, 123), "#dbeafe", ("samples, splits, scales", "per dataset")),
    "train": ((258, 123), "#dbeafe", ("checkpoints", "per run and seed")),
    "twirl": ((504, 25), "#fde7c8", ("both parts of the loss", "per checkpoint")),
    "gradient": ((504, 123), "#fde7c8", ("gradients of both parts", "per checkpoint")),
    "hessian": ((504, 221), "#fde7c8", ("curvature of both parts", "per checkpoint")),
    "report": ((750, 123), "#d9f2e3", ("one page, figures, CSV", "of all runs")),
}
ARROWS = ["prepare train", "train twirl", "train gradient", "train hessian"]
ARROWS += ["twirl report", "gradient report", "hessian report"]
DESCRIPTION = (
    "prepare makes the samples, train the checkpoints. twirl, gradient and hessian measure every checkpoint, "
    "independently of each other. report puts all measurements on one page."
)
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 938 320" role="img" aria-labelledby="title desc"
  font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="14" text-anchor="middle">
<title id="title">The workflow: prepare, train, then twirl, gradient and hessian, then report</title>
<desc id="desc">{description}</desc>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
  <path d="M0 0L8 4L0 8z" fill="#768390"/></marker></defs>"""


def box(stage: str) -> str:
    """SVG of a stage. Text is dark on a light box, so that it is legible on light and dark pages."""
    (left, top), fill, (product, per) = STAGES[stage]
    middle = left + WIDTH / 2
    return (
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{fill}" stroke="#768390"/>\n'
        f'<text x="{middle:g}" y="{top + 24}" font-size="17" font-weight="600" fill="#1c2128">{escape(stage)}</text>\n'
        f'<text x="{middle:g}" y="{top + 44}" fill="#1c2128">{escape(product)}</text>\n'
        f'<text x="{middle:g}" y="{top + 62}" font-size="12.5" fill="#444c56">{escape(per)}</text>'
    )


def arrow(start: str, end: str) -> str:
    """SVG of an arrow from the right side of a stage to the left side of another."""
    (x, y), (to_x, to_y) = STAGES[start][0], STAGES[end][0]
    x, y, to_x, to_y = x + WIDTH, y + HEIGHT // 2, to_x - 2, to_y + HEIGHT // 2
    curve = f"M{x} {y}C{x + 40} {y} {to_x - 45} {to_y} {to_x} {to_y}"
    return f'<path d="{curve}" fill="none" stroke="#768390" stroke-width="2" marker-end="url(#tip)"/>'


def drawing() -> str:
    """The whole SVG."""
    parts = [HEAD.format(description=escape(DESCRIPTION)), *(arrow(*pair.split()) for pair in ARROWS)]
    return "\n".join([*parts, *map(box, STAGES), "</svg>\n"])


if __name__ == "__main__":
    OUT.write_text(drawing(), encoding="utf-8")
