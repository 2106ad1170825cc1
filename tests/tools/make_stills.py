"""Take the still pictures that stand in for live figures where JavaScript does not run.

python tests/tools/make_stills.py [NAME ...]      after `make book`; needs Chromium
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.conftest import chromium  # noqa: E402

FOLDER = ROOT / "book" / "_assets" / "live"
# Name of the picture: page, what is photographed, and a script that first brings it into its state.
STILLS = {
    "dirac": ("live-dirac", "#live-dirac .gb-desk", ""),
    "laboratory": (
        "live-laboratory",
        "#live-laboratory .gb-desk",
        """() => {
            const button = name => [...document.querySelectorAll("#live-laboratory button")]
                .find(node => node.textContent === name);
            const rate = document.querySelector("#lab-rate-d");
            rate.value = 2; // 0.0005, a twentieth of G's
            rate.dispatchEvent(new Event("input"));
            for (let i = 0; i < 300; i += 1) button("One step").click();
        }""",
    ),
    "training": ("live-training", "#live-training .gb-desk", ""),
}
# What a still picture cannot offer.
HIDDEN = ".gb-live :is(.gb-buttons, .gb-controls, details, .gb-field) { display: none; }"


def main(names: list[str]) -> int:
    """Take the named pictures, or all; return the exit status."""
    from playwright.sync_api import sync_playwright

    executable = chromium()
    if not executable:
        print("No Chromium on this machine.")
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400}, color_scheme="light")
        for name in names or list(STILLS):
            address, what, script = STILLS[name]
            page.set_default_timeout(240_000)
            page.goto((ROOT / "_build" / "html" / f"{address}.html").as_uri())
            page.wait_for_selector(".gb-live[data-ready]")
            if script:
                page.evaluate(script)
            page.wait_for_load_state("networkidle")
            page.add_style_tag(content=HIDDEN)
            page.evaluate("document.activeElement.blur()")
            page.wait_for_timeout(200)
            shot = Image.open(io.BytesIO(page.locator(what).screenshot())).convert("RGB")
            few = shot.quantize(256, dither=Image.Dither.NONE)
            few.save(FOLDER / f"{name}.png", optimize=True)
            size = (FOLDER / f"{name}.png").stat().st_size
            print(f"{name}.png: {shot.width} x {shot.height}, {size / 1000:.0f} KB")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
