"""Generators as ONNX files: for web pages, apps and any other program that has no PyTorch.

``export_onnx`` writes one file and proves it: the ONNX checker reads it, and ONNX Runtime computes
with it what PyTorch computes. Nothing in such a file is random: every random number is an input.
"""

from __future__ import annotations

import copy
import importlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import __version__
from . import checkpoints as files
from .errors import GanBookError, known, need
from .machine import write_atomically
from .model import Model, latents
from .runs import open_model

OPSET = 18
LIMIT = 1e-4  # between ONNX Runtime and PyTorch, in float32, for pictures in [-1, 1]
PARTS = ("whole", "mapping", "synthesis")
HALF_MAX = 65504.0  # the largest number of half precision
SMALLEST = 64  # tensors with fewer numbers (biases, shapes) stay in float32
BATCHES = (1, 3)  # tried in the proof, besides the 2 of tracing


@dataclass(frozen=True)
class Exported:
    """What ``export_onnx`` wrote.

    Attributes:
        path, size: the file and its bytes.
        inputs, outputs: names and shapes, such as {"z": ("batch", 64)}.
        error: the largest difference between ONNX Runtime and PyTorch, both in float32.
        half_error: the same for the file with rounded weights; None unless asked for.
        metadata: the properties in the file, as text.
    """

    path: Path
    size: int
    inputs: dict[str, tuple[str | int, ...]]
    outputs: dict[str, tuple[str | int, ...]]
    error: float
    half_error: float | None
    metadata: dict[str, str]


def needs(*packages: str) -> list[Any]:
    """The optional packages, imported; a sentence that says how to get those that are missing."""
    try:
        return [importlib.import_module(name) for name in packages]
    except ImportError as error:
        raise GanBookError(
            f"Exporting needs onnx, onnxscript and onnxruntime ({error}); run: "
            "pip install onnx onnxscript onnxruntime"
        ) from None


class LabelWeights(nn.Module):
    """A label's vector from weights of the classes: (N, K) -> (N, features).

    One-hot weights choose a class, as the embedding that it replaces; others mix classes.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach())  # (K, features)

    def forward(self, weights: Tensor) -> Tensor:
        return weights @ self.weight  # (N, features)


class Part(nn.Module):
    """A generator, or one of its two halves, with named inputs; ``output`` names what comes out."""

    def __init__(self, generator: nn.Module, part: str, points: bool) -> None:
        super().__init__()
        self.net: Any = copy.deepcopy(generator).float().cpu().eval().requires_grad_(False)
        known("part of a generator", part, PARTS)
        need(
            part == "whole" or any(hasattr(self.net, half) for half in ("synthesis", "paint")),
            "Only a generator with styles (stylegan, inr) has two parts; export it whole.",
        )
        if self.net.num_classes:
            latent: Any = self.net.latent
            latent.embed = LabelWeights(latent.embed.weight)
        self.part, self.points = part, points

    def example(self, n: int) -> dict[str, Tensor]:
        """Inputs for ``n`` samples: seeded latents, first class, then mixtures of classes."""
        net = self.net
        z = latents(n, net.z_dim, seed=n)  # (n, z_dim)
        classes = {}
        if net.num_classes:
            mixed = torch.rand(n, net.num_classes, generator=torch.Generator().manual_seed(n))
            mixed[0] = torch.eye(net.num_classes)[0]
            classes = {"labels": mixed / mixed.sum(1, keepdim=True)}  # (n, num_classes)
        if hasattr(net, "denoiser"):
            return {"x": z.unflatten(1, net.sample_shape), "t": torch.full((n,), 0.5),
                    "s": torch.full((n,), 0.4)}  # fmt: skip
        if self.part == "whole":
            return {"z": z, **classes}
        if self.part == "mapping":
            psi = {"psi": torch.linspace(0.5, 1.0, n)[:, None]} if hasattr(net, "w_mean") else {}
            return {"z": z[:, : getattr(net, "style_dim", None)], **classes, **psi}
        w = net.mapping(z, classes.get("labels"))  # (n, [num_layers,] w_dim)
        if hasattr(net, "synthesis"):
            return {"w": w.contiguous(), "noise": z[:, net.style_dim :]}
        return {"w": w, "places": torch.rand(5 * n, 2, generator=torch.Generator().manual_seed(n))}

    @property
    def output(self) -> str:
        if self.part == "mapping":
            return "w"
        if self.points:
            return "points"
        places = self.part == "synthesis" and not hasattr(self.net, "synthesis")
        return "colors" if places else "image"

    def forward(self, **given: Tensor) -> Tensor:
        net = self.net
        if self.part == "mapping":
            w = net.mapping(given["z"], given.get("labels"))  # (N, [num_layers,] w_dim)
            if "psi" in given:
                w = net.w_mean + given["psi"][:, :, None] * (w - net.w_mean)
            return w
        if "t" in given:
            return net.step(**given)  # (N, C, H, W), noisy but for s = 0: nothing to clip
        if self.part == "whole":
            x = net(given["z"], given.get("labels"))  # (N, C, H, W), or (N, 2)
        elif "places" in given:
            x = net.paint(given["places"], given["w"])  # (N, C, P)
        else:
            x = net.synthesis(given["w"], given["noise"])  # (N, C, H, W)
        return x if self.points else x.clamp(-1, 1)


def export_onnx(
    model: Model | str | Path, path: str | Path, *, part: str = "whole", half: bool = False
) -> Exported:
    """Write a generator as an ONNX file (opset 18) that is checked, and return what was written.

    Args:
        model: a ``Model`` or ``Run``, or the folder or the name of one.
        path: the file; it appears only when it has passed every check.
        part: "whole" is z -> image. A generator with styles (stylegan, inr) has also "mapping",
            z -> w, and "synthesis", w -> image, so that a page can truncate and mix styles.
        half: round the weights to half precision: half the size; computing stays in float32.

    Inputs, all float32, with any batch: "z" (batch, z_dim), standard normal; for conditional models
    "labels" (batch, num_classes), weights of the classes with the sum 1: one-hot, or a mixture;
    "mapping" of a StyleGAN also "psi" (batch, 1), the truncation; "synthesis" takes "w" and "noise"
    (batch, noise_dim), that of an inr "w" and "places" (places, 2), as ``inr.places`` gives them.
    A diffusion model is exported as one step of its sampler, to be called in a loop: "x" (batch,
    C, H, W), at first standard normal, and the times "t" and "s" (batch,), from 1 down to 0.
    Output: "image" (batch, C, H, W) in [-1, 1]; "w"; "colors" (batch, C, places); or "points".

    Raises ``GanBookError`` when onnx, onnxscript or onnxruntime is missing, when the network cannot
    be exported, and when ONNX Runtime differs from PyTorch by more than 1e-4.
    """
    onnx, *_ = needs("onnx", "onnxscript", "onnxruntime")
    model = model if isinstance(model, Model) else open_model(model, "cpu")
    module = Part(model.generator, part, model.recipe.points).eval()
    proto = to_onnx(module)
    error = largest_difference(proto, module)
    need(
        error <= LIMIT,
        f"ONNX Runtime and PyTorch differ by {error:.2g}, more than {LIMIT:g}: the file would not "
        "paint the same pictures, and is not written. Other versions of onnxscript and onnxruntime "
        "may do better.",
    )
    half_error = None
    if half:
        halve(proto)
        half_error = largest_difference(proto, module)
    metadata = describe(model, part, half)
    onnx.helper.set_model_props(proto, metadata)
    proto.producer_name, proto.producer_version = "gan_book", __version__
    onnx.checker.check_model(proto, full_check=True)
    data = proto.SerializeToString(deterministic=True)
    write_atomically(path, data)
    ends = [{v.name: shape_of(v) for v in x} for x in (proto.graph.input, proto.graph.output)]
    return Exported(Path(path), len(data), ends[0], ends[1], error, half_error, metadata)


def shape_of(value: Any) -> tuple[str | int, ...]:
    """The shape of an input or output of an ONNX graph; a name is an axis of any length."""
    return tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)


def to_onnx(module: Part) -> Any:
    """A part of a generator as an ONNX ``ModelProto`` for any batch (and any number of places)."""
    inputs = module.example(2)
    batch, places = (torch.export.Dim(name, min=1, max=1 << 20) for name in ("batch", "places"))
    dynamic = {name: {0: places if name == "places" else batch} for name in inputs}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            program = torch.onnx.export(
                module, (), kwargs=inputs, dynamo=True, opset_version=OPSET, verbose=False,
                input_names=list(inputs), output_names=[module.output],
                dynamic_shapes={"given": dynamic}, external_data=False,
            )  # fmt: skip
    except Exception as error:
        why = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())[:200]  # colors
        raise GanBookError(
            f"This network cannot be exported ({type(error).__name__}: {why}); choose another "
            "architecture, or other versions of torch and onnxscript."
        ) from error
    proto = program.model_proto  # type: ignore[union-attr]
    for thing in (proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output,
                  *proto.graph.initializer, *proto.graph.value_info):  # fmt: skip
        thing.ClearField("metadata_props")  # lines of source, with the paths of this machine
        thing.doc_string = ""
    return proto


def session(proto_or_path: Any, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU with so many threads."""
    (runtime,) = needs("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    is_path = isinstance(proto_or_path, str | Path)
    source = str(proto_or_path) if is_path else proto_or_path.SerializeToString()
    return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def largest_difference(proto: Any, module: Part) -> float:
    """The largest difference between ONNX Runtime and PyTorch, over batches of several sizes."""
    run = session(proto)
    found = 0.0
    for n in BATCHES:
        given = module.example(n)
        try:
            got = run.run(None, {name: x.numpy() for name, x in given.items()})[0]
        except Exception as error:
            why = " ".join(str(error).split())[:200]
            raise GanBookError(
                f"ONNX Runtime cannot compute the exported network for a batch of {n} ({why}); "
                "a layer may have fixed the batch of tracing: use shapes of tensors, not len()."
            ) from error
        there, here = torch.from_numpy(got), module(**given)
        need(
            there.shape == here.shape,
            f"For a batch of {n} the exported network answers with {tuple(there.shape)}, PyTorch "
            f"with {tuple(here.shape)}; use shapes of tensors, not len().",
        )
        off = float((there - here).abs().max())
        need(off < float("inf"), "The network answers with numbers that are none (NaN, infinite).")
        found = max(found, off)
    return found


def halve(proto: Any) -> None:
    """Store the weights of an ONNX model in half precision, in place; they are cast back at use.

    Raises ``GanBookError`` for weights beyond 65504, which half precision cannot hold.
    """
    onnx, numpy_helper = needs("onnx", "onnx.numpy_helper")
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        value = numpy_helper.to_array(tensor)
        if value.size < SMALLEST:
            continue
        need(
            abs(value).max() <= HALF_MAX,
            "A weight is too large for half precision; export in float32.",
        )
        name, stored = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(value.astype("float16"), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def describe(model: Model, part: str, half: bool) -> dict[str, str]:
    """What travels in the file: name, size, licences, sha256 of the weights that it came from."""
    card, folder, recipe = model.card, model.folder or Path(), model.recipe
    source, record = folder / "generator.safetensors", folder / "data.json"
    stored = model.folder is not None and source.is_file()
    tensors = files.load_tensors(source)[0] if stored else model.generator.state_dict()
    data = files.read_json(record) if model.folder is not None and record.is_file() else {}
    print_of = "fingerprint of the pictures"
    facts: dict[str, Any] = {
        "name": card.get("name", recipe.name),
        "part": part,
        "size": "x".join(map(str, recipe.size)),  # HEIGHTxWIDTH
        "range": "[-1, 1]",
        "precision of the weights": "float16" if half else "float32",
        "licence": card.get("licence"),
        "licence of the pictures": card.get("licence of the pictures") or data.get("licence"),
        "trained on": card.get("trained on") or data.get("source"),
        print_of: card.get(print_of) or data.get("fingerprint"),
        "sha256 of the weights": files.digest(tensors),
        "recipe": json.dumps(recipe.to_dict()),
        "made by": f"gan_book {__version__}, torch {torch.__version__}",
    }
    return {key: str(value or "not stated") for key, value in facts.items()}
