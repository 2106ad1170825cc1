"""CUDA graphs: an update recorded once and replayed, so that its kernels cost one launch.

On a GPU the step of a small network is bound by kernel launches, not by arithmetic; a recorded
update removes them. The first calls run eagerly and are real training steps, so the number of
updates stays what the recipe says; the next call records, and from then on every call copies its
inputs into the recorded places and replays.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from .training import Update


class GraphedUpdate:
    """An ``Update`` whose call is captured into a CUDA graph after ``EAGER_CALLS`` ordinary calls.

    Shapes, dtypes and the presence of each input must not change afterwards, and the optimizer
    must be ``capturable`` with its learning rate in a tensor. Returned logs are overwritten by the
    next call.
    """

    EAGER_CALLS = 3  # lazily made state (Adam's moments, cuDNN's choices) must exist before capture

    def __init__(self, update: Update) -> None:
        self.update = update
        self.device = next(update.objective.parameters()).device
        self.graph: torch.cuda.CUDAGraph | None = None
        self.calls = 0
        self.inputs: list[Tensor] = []
        self.logs: dict[str, Tensor] = {}

    def __call__(self, *arguments: Any) -> dict[str, Tensor]:
        with torch.cuda.device(self.device):  # streams and graphs belong to the current device
            return self._run(arguments)

    def _run(self, arguments: Any) -> dict[str, Tensor]:
        leaves, structure = pytree.tree_flatten(arguments)
        if self.calls < self.EAGER_CALLS:
            self.calls += 1
            return self._on_side_stream(arguments)
        if self.graph is None:
            self._capture(leaves, structure)
        assert self.graph is not None
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        for place, value in zip(self.inputs, tensors, strict=True):
            place.copy_(value)
        self.graph.replay()
        return self.logs

    def _on_side_stream(self, arguments: Any) -> dict[str, Tensor]:
        """Run once as usual, off the default stream, as capture demands of what comes before it."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), warnings.catch_warnings():
            # Adam asks why it is capturable while nothing is captured yet
            warnings.filterwarnings("ignore", message="This instance was constructed with captur")
            logs = self.update(*arguments)
        torch.cuda.current_stream().wait_stream(stream)
        return logs

    def _capture(self, leaves: list[Any], structure: Any) -> None:
        """Record the update on copies of its inputs. Recording executes nothing."""
        places = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.inputs = [place for place in places if isinstance(place, Tensor)]
        arguments = pytree.tree_unflatten(places, structure)
        # gradients made inside the capture live in the graph's own memory
        self.update.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.logs = self.update(*arguments)
