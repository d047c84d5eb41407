"""Which device runs a network, and with how many threads; nothing else decides."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from huashen.errors import UnreadableError
from huashen.types import Floats
from huashen.words import tr

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def threads() -> int:
    """Return how many threads a small network should use: more than four gain nothing on the networks we run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, cores))


def litert(network: Path | bytes, *, count: int | None = None) -> Callable[[Floats], tuple[Floats, ...]]:
    """Load a .tflite network with one input.

    Args:
        network: the file, or what is in one.
        count: threads; `threads()` without.

    Returns:
        A function from the input tensor to copies of the output tensors, in the file's order. It may be called from several
        threads: an interpreter is not safe for that, so they take turns.
    """
    from ai_edge_litert.interpreter import Interpreter

    source = {"model_content": network} if isinstance(network, bytes) else {"model_path": str(network)}
    interpreter = Interpreter(**source, num_threads=count or threads())
    interpreter.allocate_tensors()
    entrance = interpreter.get_input_details()[0]["index"]
    exits = [detail["index"] for detail in interpreter.get_output_details()]
    turn = threading.Lock()

    def run(tensor: Floats) -> tuple[Floats, ...]:
        with turn:
            interpreter.set_tensor(entrance, tensor)
            interpreter.invoke()
            return tuple(interpreter.get_tensor(index) for index in exits)

    return run


def onnx(network: Path) -> "InferenceSession":
    """Load an .onnx network, on a GPU where onnxruntime has one. It may be run from several threads.

    Raises:
        UnreadableError: the file is missing or broken.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, NotImplemented

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 3
    usable = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(network), options, providers=usable)
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, NotImplemented) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise UnreadableError(
            tr(f"{network} cannot be run by onnxruntime ({reason})", f"onnxruntime 无法运行 {network}（{reason}）")
        ) from error
