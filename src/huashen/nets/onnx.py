"""Writing a network as an ONNX file, node by node, with nothing but NumPy.

torch's own exporters need two more packages (onnx, onnxscript) and change from version to version; a convolutional network is a dozen
nodes of five kinds, and the file is a protobuf of nested, length-prefixed fields.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (Apache-2.0), IR version 8, operator set 17.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.types import Floats


class Graph:
    """A network under construction. Tensors are called by name; each method adds a node and returns the name of what it gives."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._count = 0

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        """Add an input; a dimension that is a word may have any size."""
        self._inputs.append(_field(11, _value(name, shape)))
        return name

    def output(self, name: str, of: str, shape: Sequence[int | str]) -> None:
        """Give out a tensor under a name of its own."""
        self._node("Identity", [of], name)
        self._outputs.append(_field(12, _value(name, shape)))

    def constant(self, values: NDArray[np.floating]) -> str:
        """Add a float32 tensor."""
        name = self._new()
        tensor = b"".join(_integer(1, size) for size in values.shape) + _integer(2, 1) + _text(8, name)
        self._constants.append(_field(5, tensor + _field(9, np.ascontiguousarray(values, "<f4").tobytes())))
        return name

    def convolve(self, x: str, weight: Floats, bias: Floats, *, stride: tuple[int, int] = (1, 1), pad: int = 0) -> str:
        """Add a convolution of (b, c, h, w) with (out, in, k, k)."""
        ways = _whole("strides", stride) + _whole("pads", [pad] * 4)
        return self._node("Conv", [x, self.constant(weight), self.constant(bias)], attributes=ways)

    def spread(self, x: str, weight: Floats, bias: Floats, *, stride: int = 1, pad: int = 0, extra: int = 0) -> str:
        """Add a transposed convolution of (b, c, h, w) with (in, out, k, k)."""
        ways = _whole("strides", [stride] * 2) + _whole("pads", [pad] * 4) + _whole("output_padding", [extra] * 2)
        return self._node("ConvTranspose", [x, self.constant(weight), self.constant(bias)], attributes=ways)

    def apply(self, operator: str, *inputs: str) -> str:
        """Add an operator without attributes: Relu, Sigmoid, Add, Mul, …"""
        return self._node(operator, list(inputs))

    def join(self, *inputs: str) -> str:
        """Join tensors along their channels."""
        return self._node("Concat", list(inputs), attributes=_field(5, _text(1, "axis") + _integer(3, 1) + _integer(20, 2)))

    def over_channels(self, operator: str, x: str) -> str:
        """Add ReduceMean or ReduceMax over the channels, which stay as one."""
        keep = _field(5, _text(1, "keepdims") + _integer(3, 1) + _integer(20, 2))
        return self._node(operator, [x], attributes=_whole("axes", [1]) + keep)

    def save(self, file: Path) -> None:
        """Write the file."""
        graph = b"".join([*self._nodes, _text(2, self._name), *self._constants, *self._inputs, *self._outputs])
        operators = _field(8, _text(1, "") + _integer(2, 17))
        file.write_bytes(_integer(1, 8) + _text(2, "huashen") + _field(7, graph) + operators)

    def _node(self, operator: str, inputs: list[str], output: str = "", *, attributes: bytes = b"") -> str:
        output = output or self._new()
        names = b"".join(_text(1, name) for name in inputs) + _text(2, output)
        self._nodes.append(_field(1, names + _text(4, operator) + attributes))
        return output

    def _new(self) -> str:
        self._count += 1
        return f"t{self._count}"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _integer(tag: int, number: int) -> bytes:
    return _varint(tag << 3) + _varint(number)


def _field(tag: int, content: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(content)) + content


def _text(tag: int, text: str) -> bytes:
    return _field(tag, text.encode())


def _whole(name: str, numbers: Sequence[int]) -> bytes:
    """Return a node's attribute that is a list of whole numbers."""
    return _field(5, _text(1, name) + b"".join(_integer(8, number) for number in numbers) + _integer(20, 7))


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    """Return the name, element type and shape of a tensor."""
    sizes = b"".join(_field(1, _integer(1, size) if isinstance(size, int) else _text(2, size)) for size in shape)
    return _text(1, name) + _field(2, _field(1, _integer(1, 1) + _field(2, sizes)))
