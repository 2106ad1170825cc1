"""Write book/results.md: every grid of data/results as a table, seeds folded together.

python tests/tools/make_results.py            says whether the page is current; status 1 if not
python tests/tools/make_results.py --write    writes it
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import notebooks

RESULTS = notebooks.ROOT / "data" / "results"
SEED = re.compile(r"-?seed\d+")
HEAD = """\
# Results

What the book's longer experiments measured: a table for each grid with numbers to compare, made
from the files in `data/results` by `tests/tools/make_results.py`. Where a setting ran with several
seeds, a number is the mean, with the smallest and the largest in brackets if they differ; where
some seeds have no such number, the brackets say how many have.

The files hold more than the tables: seconds, device and versions, and mostly settings, sample
counts and extractor; what a file leaves out stands in the script. KID is not multiplied by anything
here. Nearly every command runs the cells that have no file yet, and with `--again` measures anew.
(Three have no `--again`: `step.py` always measures anew, `extractor_check.py` keeps what is there,
`showcase.py` with `--keep` saves the numbers of a training that is done.) Where text that quotes
one of these numbers names its file in a comment, a test compares the two.
"""


class Grid(NamedTuple):
    """What the page says of a grid: its question, its command, its columns (heading -> key)."""

    question: str
    command: str
    columns: dict[str, str]


KID = {"KID": "measured/trained/kid", "KID, random convolutions": "measured/random/kid"}
GRIDS = {
    "mode-collapse": Grid(
        "Which modes are kept, with and without penalties? Ring, grid of 25, stacked digits.",
        "mode_collapse.py",
        {"modes": "modes", "share near a mode": "good", "KL of the counts": "kl"},
    ),
    "vae": Grid(
        "What does the standard deviation of a VAE's decoder do?",
        "vae.py",
        {
            "ELBO, unseen": "elbo_unseen",
            "KL, nats": "kl",
            "squared error, unseen": "mse_unseen",
            "detail of reconstructions": "detail_reconstructions",
            "detail of samples": "detail_samples",
        },
    ),
    "comparison": Grid(
        "VAE, GAN and diffusion at equal cost.",
        "comparison.py",
        {
            **KID,
            "precision": "measured/trained/precision",
            "recall": "measured/trained/recall",
            "kinds captured": "measured/kinds/captured",
            "images": "images",
        },
    ),
    "extractor": Grid(
        "Does the default extractor see damage? Seeds, of 20, in which KID rises.",
        "extractor_check.py",
        {
            "blur": "n300/blur/seeds rising",
            "noise": "n300/noise/seeds rising",
            "JPEG": "n300/jpeg/seeds rising",
            "dropped kinds": "n300/dropped kinds/seeds rising",
            "repeated": "n300/repeated/seeds rising",
        },
    ),
    "measuring": Grid(
        "Do the metrics keep their promises?",
        "measuring.py",
        {
            "dimensions": "dimensions",
            "processor seconds at 50,000 (all but `frechet`: from 10,000)": (
                "processor_seconds_at_50000"
            ),
            "intervals that cover, least of 100: flat variances": "least_of_100",
            "uneven variances": "least_of_100_decaying",
            "seconds, all metrics": "seconds_all",
        },
    ),
    "showcase": Grid(
        "Two transformers trained to the end. One does not ship: a Gaussian of pixels beats it.",
        "showcase.py NAME --keep",
        {"KID": "measured/trained/kid", "best after so many images": "images"},
    ),
    "tokens": Grid(
        "Finer tokens for a small transformer GAN: in G, in D, or in neither?",
        "tokens.py",
        {"KID": "kid", "detail": "detail", "seconds of training": "training_seconds"},
    ),
    "gallery": Grid(
        "Healthy runs, and runs made sick on purpose.",
        "gallery.py",
        {"KID": "kid", "modes": "modes", "spread": "spread", "color": "color"},
    ),
    "ladder": Grid(
        "From the DCGAN of 2015 to a small R3GAN, one change at a time, in equal time.",
        "ladder.py",
        {
            **KID,
            "KID without averaging": "without_average/trained/kid",
            "coverage": "measured/trained/coverage",
            "images a second": "images_per_second",
            "parameters": "parameters/total",
        },
    ),
    "encoders": Grid(
        "What does InfoGAN's code find, and what do a VAE-GAN's terms do when they go astray?",
        "encoders.py",
        {
            "code read back": "code_read_back",
            "score, style": "style/score",
            "score, palette": "palette/score",
            "KL": "kl",
            "squared error": "mse",
            "likelihood's loss": "likelihood",
        },
    ),
    "judging": Grid(
        "How does originality fall with the number of training pictures?", "judging.py", {}
    ),
    "conditional": Grid(
        "Three ways to tell the label, a long tail of kinds, creative networks.",
        "conditional.py",
        {
            "KID": "kid",
            "label obeyed": "accuracy",
            "style": "style",
            "palette": "palette",
            "spread inside classes (`can`: of all pictures)": "spread",
        },
    ),
    "image-to-image": Grid(
        "pix2pix against L1 alone, and CycleGAN.",
        "image_to_image.py",
        {
            "PSNR, dB": "psnr",
            "KID": "kid",
            "detail": "detail",
            "cycle error": "there/cycle_error",
            "read as the target": "there/read_as_target",
            "palette kept": "there/palette_kept",
        },
    ),
    "editing": Grid(
        "Can a generator find held-out pictures, and edit them?",
        "editing.py",
        {
            "error, held out": "held/error",
            "closer than the nearest": "held/closer",
            "unexplained": "held/unexplained",
            "foreign: paintings, closer": "paintings/closer",
            "palette reached at 2": "inverted-2/palette_reached",
            "style kept at 2": "inverted-2/style_kept",
        },
    ),
    "augmentation": Grid(
        "Do generated pictures help a classifier? Accuracy by what it was trained on.",
        "augmentation.py",
        {
            "real only": "accuracy/none",
            "augmented": "accuracy/none-aug",
            "half of own GAN": "accuracy/own-0.5",
            "half borrowed": "accuracy/borrowed-0.5",
            "own GAN only": "accuracy/own-1",
            "60 labels": "accuracy/supervised",
            "DAN": "accuracy/dan",
        },
    ),
    "choosing": Grid(
        "What does choosing the best 1 in n pictures do?",
        "choosing.py",
        {
            "precision, any": "any-1/precision",
            "best 1 in 8": "any-8/precision",
            "best 1 in 64": "any-64/precision",
            "styles, any": "any-1/styles",
            "1 in 64": "any-64/styles",
        },
    ),
    "small-data": Grid(
        "Few pictures, with and without augmentation: KID after the last image.",
        "small_data.py",
        {"KID at the end": "final_kid", "training pictures": "n"},
    ),
    "traces": Grid(
        "Few pictures: what share of a generator's pictures shows a shift, or a hole?",
        "traces.py",
        {
            "shifts, planted at 0.1": "planted-0.1/translation",
            "shifts, taught at 0.1": "taught-0.1/translation",
            "holes, taught at 0.1": "taught-0.1/cutout",
            "shifts, `weak-mirror`": "weak-mirror/translation",
            "holes, `weak-mirror`": "weak-mirror/cutout",
            "shifts, `weak-whole`": "weak-whole/translation",
            "shifts, `weak-flipped-shifts`": "weak-flipped-shifts/translation",
            "holes, `weak-flipped-shifts`": "weak-flipped-shifts/cutout",
        },
    ),
    "step": Grid(
        "How fast is a training step, beside a plain loop in the same run?",
        "step.py",
        {
            "times the plain loop": "ratio",
            "least": "ratio_least",
            "most": "ratio_most",
            "images a second": "our_images_per_second",
            "most memory of the process until then, bytes": "peak_memory_bytes",
        },
    ),
    "thresholds": Grid(
        "Processor seconds (steps times the cost of a step) until a KID that was fixed beforehand "
        "is reached; empty: no seed did, or no time was taken (`tune-*`).",
        "thresholds.py",
        {
            "PCA-Gaussian's": "reached/pca-gaussian/trained",
            "half of it": "reached/half/trained",
            "a quarter": "reached/quarter/trained",
            "seconds of training, measured": "training_seconds",
        },
    ),
    "membership": Grid(
        "Who was in the training set? Areas under the curve of attacks on short "
        "trainings, and the share of members that is found.",
        "membership.py",
        {
            "by D's logit": "runs/logit/auc",
            "found at 1 % false alarms": "runs/logit/tpr_at_1",
            "strangers, control": "runs/logit_control/auc",
        },
    ),
    "peers": Grid(
        "Ours against what people install instead: Atelier-32, equal processor seconds, with "
        "averaged weights, which the two libraries do not have by themselves.",
        "peers.py",
        {
            **KID,
            **{k: f"measured/trained/{k}" for k in ("precision", "recall", "coverage")},
            **{"images a second": "images_per_second", "parameters": "parameters/total"},
        },
    ),
    "challenge": Grid(
        "The best KID within a hundred processor seconds, or within a number of images.",
        "challenge.py",
        {**KID, "images": "images", "processor seconds": "training_seconds"},
    ),
    "blind": Grid(
        "Painting or not? What frozen judges call paintings, who never saw a generated one.",
        "blind.py",
        {
            f"{kind}{words}": f"{where}called/{name}/share"
            for where, words in (("second/", ""), ("", ", both judges"))
            for kind, name in (
                ("held-out paintings", "paintings"),
                ("paintings-32", "paintings-32"),
                ("PCA-Gaussian", "gaussian"),
                ("shuffled blocks", "blocks"),
                ("untrained generator", "untrained"),
                ("noise", "noise"),
            )
        },
    ),
    "outlook": Grid(
        "One-step students of a diffusion model, with and without an adversarial loss, equal time.",
        "outlook.py",
        {
            "near a spot": "share",
            "between spots": "between",
            "width": "width",
            "JSD from the data": "jsd",
            "from the teacher's end": "from_teacher",
            "steepest slope": "slope",
            "steps": "steps",
        },
    ),
    "shipping": Grid(
        "How long does a batch of 16 take in another engine? One thread. Medians of processor "
        "time, in the rows `browser-*` of wall time on a busy machine, where in the browser only "
        "the fastest round says something, and for `atelier-32` not even that.",
        "shipping.py",
        {
            "PyTorch, ms": "batch-16/pytorch/ms",
            "ONNX Runtime, ms": "batch-16/onnx/ms",
            "browser, fastest round, ms": "batch-16/browser/best",
        },
    ),
    "live-timing": Grid(
        "How long does a 64 x 64 generator take in a browser? (Untrained: what the "
        "weights are does not change it. `atelier-32`, trained and 32 x 32, stands beside.)",
        "live_timing.py",
        {
            "ms a picture": "ms_a_picture",
            "in a wall of 24": "ms_a_picture_in_a_wall",
            "seconds to the first": "first_picture_seconds",
            "parameters": "parameters",
        },
    ),
}


def value(record: dict[str, Any], key: str) -> list[float | None]:
    """Return the numbers under a path such as "held/error"; a list holds one for each seed.

    None stands where there is no number.
    """
    found: list[Any] = [record]
    for part in key.split("/"):
        found = [x.get(part) if isinstance(x, dict) else None for x in found]
        found = [y for x in found for y in (x if isinstance(x, list) else [x])]
    numbers = (isinstance(x, (int, float)) and not isinstance(x, bool) for x in found)
    return [x if number else None for x, number in zip(found, numbers, strict=True)]


def written(number: float) -> str:
    """Write a number with three digits, and in full from 1,000 on."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def summary(values: list[float | None]) -> str:
    """Write the mean, the range where the numbers differ, and how many there are if some lack."""
    numbers = [x for x in values if x is not None]
    if not numbers:
        return ""
    mean, low, high = (
        written(x) for x in (sum(numbers) / len(numbers), min(numbers), max(numbers))
    )
    notes = [f"{low} to {high}"] if low != high else []
    notes += [f"{len(numbers)} of {len(values)}"] if len(numbers) < len(values) else []
    return f"{mean} ({'; '.join(notes)})" if notes else mean


def records(name: str, results: Path) -> dict[str, list[dict[str, Any]]]:
    """Return a grid's files, those that differ in the seed only together."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((results / name).glob("*.json")):
        group = SEED.sub("", path.stem) or "all seeds"
        groups.setdefault(group, []).append(json.loads(path.read_text(encoding="utf-8")))
    return groups


def chapters(name: str, pages: list[Path]) -> list[str]:
    """Return links to the pages that read the grid or quote it."""
    reads = re.compile(
        rf"""<!-- {name}/|load_results?\(["']{name}["']|results["', /]+{name}["'/]"""
    )
    return [
        f"[{notebooks.title(page)}]({page.name})"
        for page in pages
        if reads.search(page.read_text(encoding="utf-8").replace('\\"', '"'))
    ]


def torch_version(environment: dict[str, Any]) -> str:
    """Return the version of torch; early files have it among "versions"."""
    return str((environment.get("packages") or environment["versions"])["torch"])


def section(name: str, results: Path, pages: list[Path]) -> Iterator[str]:
    """Yield the lines of one grid."""
    grid, groups = GRIDS[name], records(name, results)
    everything = [record for group in groups.values() for record in group]
    devices = sorted({r["environment"]["device_name"] for r in everything})
    torches = sorted({torch_version(r["environment"]) for r in everything})
    yield f"## {name}\n"
    yield f"{grid.question}\n"
    where = ", ".join(chapters(name, pages)) or "no chapter yet"
    yield f"- Told in: {where}"
    yield f"- Made by `python tests/benchmarks/{grid.command}`"
    yield f"- {len(everything)} files; {', '.join(devices)}; torch {', '.join(torches)}\n"
    columns = {
        heading: key
        for heading, key in grid.columns.items()
        if any(x is not None for record in everything for x in value(record, key))
    }
    rows = {
        group: [summary([x for r in found for x in value(r, key)]) for key in columns.values()]
        for group, found in groups.items()
    }
    rows = {group: cells for group, cells in rows.items() if any(cells)}
    if rows:
        yield "| setting | " + " | ".join(columns) + " |"
        yield "| --- |" + " --- |" * len(columns)
        for group, cells in rows.items():
            yield f"| `{group}` | " + " | ".join(cells) + " |"
        yield ""
    others = [group for group in groups if group not in rows]
    if others:
        yield "Not in the table: " + ", ".join(f"`{group}`" for group in others) + ".\n"


def page(results: Path = RESULTS, pages: list[Path] | None = None) -> str:
    """Return the whole page."""
    known = [name for name in GRIDS if (results / name).is_dir()]
    extra = sorted(p.name for p in results.iterdir() if p.is_dir() and p.name not in GRIDS)
    if extra:
        raise ValueError(f"no columns for {', '.join(extra)}: add them to GRIDS in {__file__}")
    there = notebooks.notebook_files() if pages is None else pages
    others = [notebooks.BOOK / name for name in ("art-practice.md", "showcase.md")]
    there = there + (others if pages is None else [])
    lines = [HEAD]
    for name in known:
        lines.extend(section(name, results, there))
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Check or write the page; return the exit status."""
    return notebooks.keep_page("results", page(), [], __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
