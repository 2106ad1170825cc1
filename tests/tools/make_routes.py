"""The map of the three routes: `book/_assets/routes.svg`, from the table below.

    python tests/tools/make_routes.py      writes it

Per stop: its name on the map, its page, and what artist, maker and theorist read there: "all" of
it, a "part", or nothing ("-").
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

MAP = Path(__file__).resolve().parents[2] / "book" / "_assets" / "routes.svg"
STOPS = (
    ("A short history", "history", "part - all"),
    ("Introduction", "introduction", "part all part"),
    ("Generative models", "generative-models", "- - all"),
    ("VAE", "vae", "- - all"),
    ("Diffusion", "diffusion", "- - all"),
    ("Adversarial game", "adversarial-game", "- part all"),
    ("Divergences", "divergences", "- - all"),
    ("Dynamics", "dynamics", "- - all"),
    ("Mode collapse", "mode-collapse", "part part all"),
    ("Comparison", "comparison", "part part all"),
    ("Environment", "environment", "- part -"),
    ("Data", "data", "part all part"),
    ("DCGAN", "dcgan", "part part all"),
    ("The training loop", "training-loop", "- all part"),
    ("Measuring", "measuring", "part part all"),
    ("A modern baseline", "modern-baseline", "- part part"),
    ("Style-based", "style-based", "part part part"),
    ("Transformers", "transformer", "- - part"),
    ("Encoders, decoders", "encoder-decoder", "- part all"),
    ("Testing", "testing", "- all part"),
    ("A thousand pictures", "thousand-pictures", "part all part"),
    ("Judging", "judging", "part part part"),
    ("Conditional GANs", "conditional", "part part part"),
    ("Image to image", "image-to-image", "part part part"),
    ("Editing", "editing", "part part part"),
    ("Training data", "data-augmentation", "- part part"),
    ("Any resolution", "any-resolution", "part part part"),
    ("Art practice", "art-practice", "all part -"),
    ("Few pictures", "small-data", "part all part"),
    ("Speed", "speed", "- part part"),
    ("Scale", "scale", "- part part"),
    ("Safety", "safety", "part part part"),
    ("Shipping", "shipping", "- all part"),
    ("Outlook", "outlook", "- part all"),
)
# pages to play with, and those that open a part
NO_STOPS = {
    "explorer", "real-or-generated", "live-laboratory", "live-dirac", "live-training", "gallery",
    "showcase",
    "principles", "implementation", "applications", "optimization",
}  # fmt: skip
# name, heading, line; where the line stands
LINES = (
    ("artist", "#8a3b12", "#c8662f", 36),
    ("maker", "#005f8f", "#2b8cc4", 94),
    ("theorist", "#1d5c3c", "#3f8f63", 158),
)
SVG = "http://www.w3.org/2000/svg"
PAPER, INK, TOP, STEP = "#fbf9f5", "#22201c", 62, 35


def reads(line: int) -> list[str]:
    """What one line reads at each stop."""
    return [what.split()[line] for _, _, what in STOPS]


def draw() -> str:
    """The map as SVG."""
    end = TOP + STEP * (len(STOPS) - 1)
    height, low = end + 70, end + 42
    size = {"width": "360", "height": str(height), "viewBox": f"0 0 360 {height}"}
    fonts = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"
    root = Element("svg", {"xmlns": SVG, "role": "img", "font-family": fonts, **size})
    SubElement(root, "title").text = "Three routes through the book"
    frame = {"x": "0.5", "y": "0.5", "width": "359", "height": str(height - 1), "rx": "10"}
    SubElement(root, "rect", {**frame, "fill": PAPER, "stroke": "#d9d3c7"})

    def text(x: float, y: float, words: str, fill: str = INK, **more: str) -> None:
        where = {"x": str(x), "y": str(y), "fill": fill, "font-size": "13"}
        SubElement(
            root, "text", where | {k.replace("_", "-"): v for k, v in more.items()}
        ).text = words

    def path(d: str, stroke: str) -> None:
        how = {"stroke-width": "5", "stroke-linecap": "round"}
        SubElement(root, "path", {"d": d, "stroke": stroke, **how})

    def stop(x: float, y: float, color: str, full: bool, r: int = 8) -> None:
        where = {"cx": str(x), "cy": str(y), "r": str(r), "fill": color if full else PAPER}
        SubElement(root, "circle", where | {"stroke": color, "stroke-width": str(r // 2)})

    for i, (name, dark, light, x) in enumerate(LINES):
        there = {TOP + STEP * k: what for k, what in enumerate(reads(i)) if what != "-"}
        text(x, 30, name, dark, font_weight="600", text_anchor="middle")
        path(f"M{x} {min(there)}V{max(there)}", light)
        for y, what in there.items():
            stop(x, y, dark, what == "all")
    for k, (name, _, _) in enumerate(STOPS):
        text(198, TOP + STEP * k + 5, name, font_size="14.5")
    stop(28, low, INK, True, 6)
    text(43, low + 5, "all of it")
    stop(122, low, INK, False, 6)
    text(137, low + 5, "a part")
    path(f"M196 {low}H224", "#8d877b")
    text(233, low + 5, "pass by")
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


if __name__ == "__main__":
    MAP.write_text(draw(), encoding="utf-8")
