"""Write a graph as a torch program (`torch.export`), for Python without modelzero and for torch's compilers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero.errors import ModelError
from modelzero.models.build import describe
from modelzero.using.graph import Graph
from modelzero.using.onnx import quiet
from modelzero.using.parity import Asked

# Where `torch.export.load(path, extra_files={METADATA: ""})` finds the metadata.
METADATA = "modelzero.json"


def write(graph: Graph, image_shape: tuple[int, int, int], metadata: str, path: Path) -> None:
    """Write a graph as a .pt2 file.

    Not as TorchScript, which is deprecated, and traces one path through a model or compiles a subset of Python.

    Args:
        graph: what to write.
        image_shape: channels, height and width of its images; their number stays variable.
        metadata: the metadata of the file, as JSON.
        path: the file to write.

    Raises:
        ModelError: torch cannot export the model.
    """
    example = torch.zeros(2, *image_shape, dtype=torch.uint8)
    try:
        with quiet():
            program = torch.export.export(graph, (example,), dynamic_shapes=({0: torch.export.Dim("N")},))
            for node in program.graph.nodes:
                node.meta.pop("stack_trace", None)  # paths of the code on this machine
            written = io.BytesIO()
            torch.export.save(program, written, extra_files={METADATA: metadata})
    except Exception as error:
        raise ModelError(f"the model cannot be written as a torch program: {describe(error)}") from None
    path.write_bytes(written.getbuffer())


def read(path: Path) -> Asked:
    """Read a .pt2 file that was just written here; `torch.export.load` may run the code in a file."""
    with quiet(), path.open("rb") as file:
        module = torch.export.load(file).module()

    def asked(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            answer: NDArray[np.float32] = module(torch.from_numpy(images)).numpy()
        return answer

    return asked
