"""What leaves the house: what rounding costs, and how long a picture takes in other engines.

    python tests/benchmarks/shipping.py                              # every cell without a result
    python tests/benchmarks/shipping.py precision latency           # some of them

Cells "precision-seedN": the recipe ``small-16`` learns 1,000 landscapes for 32,000 images, in
float32; then the same latents are painted with rounded weights. "half-all" also computes in half
precision; "int8-channel" and "int8-tensor" round weights to 255 levels, with one scale for each
output channel or for each tensor. Noted are the largest and mean difference of pictures in [-1, 1],
the share of 8-bit values that change, and the change of KID against 500 fresh pictures.

Cells "latency-MODEL": processor milliseconds a batch, PyTorch eager beside ONNX Runtime, one thread
each, in alternating rounds; ratios are taken round by round. "browser-MODEL" does the same with
onnxruntime-web (WASM, one thread) in headless Chromium, in wall time: on a busy machine only
"best", the fastest round, says something. It needs ``npm ci`` in tests/npm.
"""

from __future__ import annotations

import copy
import functools
import http.server
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor, nn

import gan_book as gb
from gan_book.errors import GanBookError, need
from gan_book.export import export_onnx, session
from gan_book.machine import version
from gan_book.metrics import kernel_distance
from gan_book.model import latents
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid

NAME, SEEDS, MODELS = "shipping", (0, 1, 2), ("landscapes-16", "atelier-32")
IMAGES, MADE, REFERENCE = 32_000, 500, 500
ROUNDS, BLOCK, BATCHES = 15, 0.1, (1, 16)  # seconds of a block
SHORT = 5.0  # milliseconds: some such block finds the processor free, even on a busy machine
NODE = Path(__file__).parents[1] / "npm" / "node_modules" / "onnxruntime-web" / "dist"
CHROMIUM = Path("/usr/bin/chromium")
LOADED = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def levels(w: Tensor, axis: int | None) -> Tensor:
    """Weights rounded to 255 levels, symmetric; a scale for each slice of ``axis``, or one."""
    others = [i for i in range(w.dim()) if i != axis]
    scale = w.abs().amax(others, keepdim=True).clamp_min(1e-12) / 127
    return (w / scale).round() * scale


def rounded(net: nn.Module, how: Callable[[Tensor, int], Tensor]) -> nn.Module:
    """A copy whose weights (not biases) are ``how(weight, axis of output channels)``."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        for layer in net.modules():
            weight = getattr(layer, "weight", None)
            if isinstance(weight, nn.Parameter) and weight.dim() > 1:
                weight.copy_(how(weight, int(isinstance(layer, nn.ConvTranspose2d))))
    return net


VARIANTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "half-weights": lambda net: rounded(net, lambda w, _: w.half().float()),
    "half-all": lambda net: copy.deepcopy(net).half(),
    "bf16-weights": lambda net: rounded(net, lambda w, _: w.bfloat16().float()),
    "int8-channel": lambda net: rounded(net, levels),
    "int8-tensor": lambda net: rounded(net, lambda w, _: levels(w, None)),
}


@torch.no_grad()
def painted(net: nn.Module, z: Tensor) -> Tensor:
    """(n, C, H, W) in [-1, 1], float32, computed in the precision of the network."""
    z = z.to(next(net.parameters()).dtype)
    return torch.cat([net(some).float() for some in z.split(250)]).clamp(-1, 1)


def landscapes(n: int, seed: int) -> Any:
    return gb.load_images("atelier", size=16, n=n, seed=seed, styles=["dunes", "mist"])


def precision(seed: int) -> Record:
    """One training, and what each rounding of its weights does."""
    chosen = gb.recipe("small-16", total_images=IMAGES)
    run = gb.train(chosen, landscapes(1_000, seed), seed=seed, device="cpu", progress=False)
    net, extract = run.generator, gb.extractor("gan-book-1")
    real = extract(landscapes(REFERENCE, 500).images)
    z = latents(MADE, int(net.z_dim), seed=7)  # type: ignore[arg-type]
    full = painted(net, z)
    kid = kernel_distance(extract(gb.to_uint8(full)), real)
    record: Record = {
        "seed": seed, "images_seen": run.images_seen, "made": MADE, "reference": REFERENCE,
        "kid": kid.value, "kid_error": kid.standard_error, **extract.facts(),
    }  # fmt: skip
    for name, change in VARIANTS.items():
        made = painted(change(net), z)
        off = (made - full).abs()
        judged = name in ("half-weights", "int8-channel", "int8-tensor")
        now = kernel_distance(extract(gb.to_uint8(made)), real).value if judged else None
        record[name] = {
            "max": float(off.max()),
            "mean": float(off.mean()),
            "levels_changed": float((gb.to_uint8(made) != gb.to_uint8(full)).double().mean()),
            "most_levels": int((gb.to_uint8(made).int() - gb.to_uint8(full).int()).abs().max()),
            "kid_change": None if now is None else now - kid.value,
        }
    return record


def alternate(engines: dict[str, Callable[[], Any]]) -> Record:
    """Milliseconds a call, engine by engine in each round; the first engine is the base."""
    calls = {}
    for name, run in engines.items():
        for _ in range(3):  # warm
            run()
        start = time.perf_counter()
        run()
        calls[name] = max(1, round(BLOCK / (time.perf_counter() - start)))
    took: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, run in engines.items():
            start = time.process_time()
            for _ in range(calls[name]):
                run()
            took[name].append(1_000 * (time.process_time() - start) / calls[name])
    return summary(took)


def summary(took: dict[str, list[float]]) -> Record:
    """Medians, and how many times as fast as the first engine, round by round."""
    base = next(iter(took.values()))
    found: Record = {
        "rounds": len(base), "load": os.getloadavg()[0], "onnxruntime": version("onnxruntime"),
    }  # fmt: skip
    for name, ms in took.items():
        ratios = sorted(a / b for a, b in zip(base, ms, strict=True))
        found[name] = {
            "ms": statistics.median(ms),
            "best": min(ms),
            "faster": statistics.median(ratios),
            "least": ratios[len(ratios) // 10],
            "most": ratios[-1 - len(ratios) // 10],
        }
    return found


@contextmanager
def files_of(name: str) -> Iterator[Path]:
    """A folder with full.onnx and half.onnx of a shipped model."""
    with tempfile.TemporaryDirectory() as place:
        for half in (False, True):
            export_onnx(name, Path(place) / f"{'half' if half else 'full'}.onnx", half=half)
        yield Path(place)


def latency(name: str) -> Record:
    """PyTorch and ONNX Runtime on this CPU."""
    net = gb.load_model(name, device="cpu").generator
    record: Record = {"seed": 0}  # of the latents
    with files_of(name) as folder:
        full, half = (session(folder / f"{which}.onnx") for which in ("full", "half"))
        record["bytes"] = {p.stem: p.stat().st_size for p in sorted(folder.glob("*.onnx"))}
        for batch in BATCHES:
            z = latents(batch, int(net.z_dim), seed=0)  # type: ignore[arg-type]
            given = {"z": z.numpy()}
            with torch.inference_mode():
                record[f"batch-{batch}"] = alternate({
                    "pytorch": functools.partial(net, z),
                    "onnx": functools.partial(full.run, None, given),
                    "onnx-half": functools.partial(half.run, None, given),
                })  # fmt: skip
        record["load_seconds"] = timed(lambda: session(folder / "full.onnx"))
    return record


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


PAGE = """<!doctype html><script src="ort/ort.wasm.min.js"></script><script>
let session, input;
async function start(z, batch, dim) {
  ort.env.wasm.numThreads = 1;
  const t = performance.now();
  session = await ort.InferenceSession.create("full.onnx", { executionProviders: ["wasm"] });
  const ready = performance.now() - t;
  input = new ort.Tensor("float32", Float32Array.from(z), [batch, dim]);
  return [ready, Array.from((await session.run({ z: input })).image.data)];
}
async function block(n) {
  const t = performance.now();
  for (let i = 0; i < n; i++) await session.run({ z: input });
  return (performance.now() - t) / n;
}
</script>"""


def browser(name: str) -> Record:
    """onnxruntime-web in headless Chromium beside ONNX Runtime, and whether they agree."""
    need(NODE.is_dir(), "onnxruntime-web is not there; run npm ci in tests/npm.")
    need(CHROMIUM.is_file(), "there is no /usr/bin/chromium.")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise GanBookError(f"playwright is not installed ({error}).") from error
    net = gb.load_model(name, device="cpu").generator
    record: Record = {"seed": 0}  # of the latents
    with files_of(name) as folder, served(folder) as address, sync_playwright() as p:
        (folder / "ort").symlink_to(NODE)
        (folder / "index.html").write_text(PAGE)
        window = p.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        record["browser"] = f"Chromium {window.version}"
        record["runtime_bytes"] = sum((NODE / name).stat().st_size for name in LOADED)
        native = session(folder / "full.onnx")
        for batch in BATCHES:
            page = window.new_page()
            page.goto(address)
            z = latents(batch, int(net.z_dim), seed=0)  # type: ignore[arg-type]
            ready, image = page.evaluate(
                "([z, n, d]) => start(z, n, d)", [z.flatten().tolist(), *z.shape]
            )
            off = torch.tensor(image) - painted(net, z).flatten()
            once = min(page.evaluate("n => block(n)", 2) for _ in range(9))
            count = max(1, round(SHORT / once))
            took: dict[str, list[float]] = {"onnx": [], "browser": []}
            for _ in range(4 * ROUNDS):
                seconds = timed(lambda: [native.run(None, {"z": z.numpy()}) for _ in range(count)])  # noqa: B023
                took["onnx"].append(1_000 * seconds / count)
                took["browser"].append(page.evaluate("n => block(n)", count))
            record[f"batch-{batch}"] = {
                **summary(took), "error": float(off.abs().max()), "ready_ms": ready,
            }  # fmt: skip
            page.close()
        window.close()
    return record


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder at an address of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {
            **http.server.SimpleHTTPRequestHandler.extensions_map,
            ".mjs": "text/javascript", ".wasm": "application/wasm",
        }  # fmt: skip

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()


def cells() -> dict[str, Cell]:
    made: dict[str, Cell] = {f"precision-seed{s}": functools.partial(precision, s) for s in SEEDS}
    made |= {f"latency-{name}": functools.partial(latency, name) for name in MODELS}
    made |= {f"browser-{name}": functools.partial(browser, name) for name in MODELS}
    return made


def main() -> None:
    run_grid(NAME, cells(), grid_parser(__doc__ or "").parse_args())


if __name__ == "__main__":
    main()
