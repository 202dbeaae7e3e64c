"""Write a graph as an ONNX file, and run an ONNX file."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero._version import __version__
from modelzero.errors import ExportError, ModelError, SettingError
from modelzero.models.build import describe
from modelzero.using.graph import Graph
from modelzero.using.parity import Asked

# What torch's exporter writes without converting; onnxruntime 1.17 and newer read it.
OPSET = 20
INPUT, OUTPUT = "images", "probabilities"
_NEEDED = ("onnx", "onnxruntime", "onnxscript")
_MOST_BYTES = 2**31 - 1  # of a protobuf message


def check_installed() -> None:
    """Check that the packages that write and run ONNX files are installed.

    Raises:
        SettingError: one is missing; the message names the extra.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingError(f"ONNX requires {', '.join(missing)}, not installed here: pip install 'modelzero[onnx]'")


def write(graph: Graph, image_shape: tuple[int, int, int], metadata: Mapping[str, str], path: Path) -> None:
    """Write a graph as an ONNX file.

    Args:
        graph: what to write.
        image_shape: channels, height and width of its images; their number stays variable.
        metadata: the metadata of the file.
        path: the file to write.

    Raises:
        ModelError: torch cannot export the model, or it has more than 2 GB.
    """
    import onnx

    example = torch.zeros(2, *image_shape, dtype=torch.uint8)
    try:
        with quiet():
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("N")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
        assert program is not None
        model = program.model_proto
    except Exception as error:
        raise ModelError(f"the model cannot be written as ONNX: {describe(error)}") from None
    _strip(model)
    model.graph.name = metadata["model"]
    model.producer_name, model.producer_version = "modelzero", __version__
    model.doc_string = "uint8 images [N, C, H, W] in, calibrated probabilities [N, classes] out"
    onnx.helper.set_model_props(model, dict(metadata))
    if model.ByteSize() > _MOST_BYTES:
        raise ModelError(f"the model has {model.ByteSize():,} bytes: an ONNX file holds less than 2 GB; use --to torch")
    path.write_bytes(model.SerializeToString(deterministic=True))


def read(path: Path) -> tuple[dict[str, str], Asked]:
    """Read an ONNX file; return its metadata, and a function that runs it.

    Raises:
        ExportError: it is no such ONNX file, or refers to other files.
    """
    import onnx
    import onnxruntime

    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
        metadata = {each.key: each.value for each in model.metadata_props}
        _check_whole(model, path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        inputs, outputs = ([each.name for each in some] for some in (session.get_inputs(), session.get_outputs()))
    except (ExportError, MemoryError):
        raise
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror}): expected an ONNX file") from None
    except Exception as error:  # of protobuf and of onnxruntime
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ExportError(f"{path} is not an ONNX file, or is damaged ({words}): export it again") from None
    if (inputs, outputs) != ([INPUT], [OUTPUT]):
        raise ExportError(f"{path} takes {inputs} and returns {outputs}: expected {INPUT!r} and {OUTPUT!r}")

    def asked(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = session.run([OUTPUT], {INPUT: images})[0]
        return answer

    return metadata, asked


def _check_whole(model: Any, path: Path) -> None:
    """Refuse a graph that reads tensors from other files."""
    import onnx

    tensors = (each for each in _messages(model) if isinstance(each, onnx.TensorProto))
    if any(each.external_data or each.data_location == onnx.TensorProto.EXTERNAL for each in tensors):
        raise ExportError(f"{path} reads tensors from other files: expected a single file; export it again")


def _messages(message: Any) -> Iterator[Any]:
    """Yield a message and all messages within it: branches, functions and sparse tensors too."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in [value] if hasattr(value, "ListFields") else value:
                yield from _messages(each)


def _strip(model: Any) -> None:
    """Remove the paths of the code on this machine, which torch stores with each node."""
    del model.graph.metadata_props[:]
    for each in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del each.metadata_props[:]
        each.doc_string = ""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of torch's exporters about missing libraries and their own internals."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
