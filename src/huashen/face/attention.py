"""MediaPipe's face mesh with attention: 478 points with refined lips, eyes and irises, run by LiteRT.

The file uses three operations of MediaPipe's own, which LiteRT lacks. They cut small feature maps of the lips and of each eye out of
the large one, and take the points found in them back to the face. So the file's graph is cut at them into four networks, and what
lies between these is done here; which points make a part and how its crop lies is read from the file.
"""

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen import device, weights
from huashen.types import Floats

SIDE = 192
"""Side of the crop the network takes, pixels."""

# The network's own logit lies far too high: above 0 for a third of what the detectors mistake for faces. Logistic regression over
# 2425 such mistakes and 651 faces, most of them blurred, 16 pixels small, dark, noisy or half hidden.
_SLOPE, _ZERO = 0.53, 11.6


@dataclass(frozen=True)
class _Part:
    """What has a network of its own: the lips, or an eye with its iris."""

    run: Callable[[Floats], tuple[Floats, ...]]
    """From features (1, h, w, c) to the part's points, and for an eye to five of its iris."""
    indices: NDArray[np.intp]
    """(n,) where these points stand in the mesh; the crop lies round them."""
    ends: tuple[int, int]
    """The mesh points between which the crop lies level."""
    scale: NDArray[np.float32]
    """(2,) how much larger than the part the crop is, across and down."""
    size: tuple[int, int]
    """Width and height of the crop, cells of the feature map."""


class AttentionMesh:
    """The network behind the package's `refine_landmarks`.

    Source: https://github.com/google-ai-edge/mediapipe 0.10.21, Apache-2.0; Grishchenko et al., Attention Mesh, 2020.
    """

    def __init__(self) -> None:
        self._base, self._parts = _load(weights.path("face_landmark_with_attention").read_bytes())

    def fit(self, crop: Floats) -> tuple[Floats, float]:
        """Find the points of a face.

        Args:
            crop: (192, 192, 3) float32 RGB, 0 to 1.

        Returns:
            (478, 3) pixels of the crop, in the order of `Landmarks`; and the logarithm of the odds that there is a face.
        """
        mesh, presence, features = self._base(crop[None])
        points = mesh.reshape(-1, 3)
        refined, irises = points.copy(), []
        ratio = np.float32(features.shape[2] / SIDE)
        for part in self._parts:
            matrix = _to_features(points[:, :2] * ratio, part)
            own, *iris = (tensor.reshape(-1, 2) for tensor in part.run(_sample(features[0], matrix, part.size)[None]))
            # A part's points come in cells of its crop, divided by the same ratio as the features' cells against the pixels.
            matrix[:, 2] /= ratio
            refined[part.indices, :2] = _moved(own, matrix)
            for rim in iris:  # an eye's first 16 points are its opening; the irises take their mean depth
                depth = points[part.indices[:16], 2].mean()
                irises.append(np.column_stack([_moved(rim, matrix), np.full(len(rim), depth, np.float32)]))
        return np.concatenate([refined, *irises]).astype(np.float32), _SLOPE * (float(presence.ravel()[0]) - _ZERO)


def _moved(points: Floats, matrix: Floats) -> Floats:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def _to_features(points: Floats, part: _Part) -> Floats:
    """Return the (2, 3) matrix from the cells of a part's crop to those of the feature map.

    Args:
        points: (468, 2) the mesh in cells of the feature map.
    """
    start, end = points[list(part.ends)]
    angle = math.atan2(float(end[1] - start[1]), float(end[0] - start[0]))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32)
    level = points[part.indices] @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    size = np.array(part.size, np.float32)
    linear = turn * ((high - low) * part.scale / size)
    return np.column_stack([linear, turn @ ((low + high) / 2) - linear @ (size / 2)]).astype(np.float32)


def _sample(features: Floats, matrix: Floats, size: tuple[int, int]) -> Floats:
    """Cut a turned rectangle out of a feature map, bilinear, 0 where it reaches beyond the middles of the outermost cells.

    Args:
        features: (h, w, c).
        matrix: (2, 3) from the crop's cells to the map's.
        size: width and height of the crop.

    Returns:
        (height, width, c).
    """
    height, width, channels = features.shape
    grid = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1).reshape(-1, 2).astype(np.float32)
    at = _moved(grid + 0.5, matrix) - 0.5
    last = np.array([width - 1, height - 1], np.float32)
    inside = np.all((at >= 0) & (at <= last), axis=1)
    at = np.clip(at, 0, last)
    cell = at.astype(np.intp)
    (x, y), (right, below) = cell.T, np.minimum(cell + 1, last.astype(np.intp)).T
    u, v = (at - cell.astype(np.float32)).T[:, :, None]
    above = features[y, x] * (1 - u) + features[y, right] * u
    under = features[below, x] * (1 - u) + features[below, right] * u
    out = np.where(inside[:, None], above * (1 - v) + under * v, np.float32(0))
    return out.reshape(size[1], size[0], channels)


def _load(content: bytes) -> tuple[Callable[[Floats], tuple[Floats, ...]], list[_Part]]:
    """Cut the file's graph at MediaPipe's operations.

    Returns:
        The network from the picture to mesh, presence and features; and the parts, the lips first, then the eye on the left of the
        picture.
    """
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    own: dict[bytes, list[Any]] = {b"TransformTensorBilinear": [], b"Landmarks2TransformMatrix": [], b"TransformLandmarks": []}
    for operator in graph.operators:
        own.get(model.operatorCodes[operator.opcodeIndex].customCode, []).append(operator)
    crops = {int(op.inputs[1]): op for op in own[b"TransformTensorBilinear"]}  # by matrix
    features = own[b"TransformTensorBilinear"][0].inputs[0]
    base = device.litert(_piece(model, graph.inputs[0], (graph.outputs[0], graph.outputs[-1], features)))
    parts = []
    for operator in own[b"Landmarks2TransformMatrix"]:
        options = flexbuffers.Loads(bytes(operator.customOptions))
        crop = crops[int(operator.outputs[0])].outputs[0]
        found = [op.inputs[0] for op in own[b"TransformLandmarks"] if _leads(graph, crop, op.inputs[0])]
        parts.append(_Part(
            device.litert(_piece(model, crop, found), count=1),
            np.array(options["subset_idxs"], np.intp),
            (options["left_rotation_idx"], options["right_rotation_idx"]),
            np.array([options["scale_x"], options["scale_y"]], np.float32),
            (options["output_width"], options["output_height"]),
        ))  # fmt: skip
    return base, parts


def _between(graph: Any, entrance: int, exits: Sequence[int]) -> list[Any]:
    """Return the operators, in order, that the exits need, without what makes the entrance."""
    wanted = set(map(int, exits)) - {entrance}
    operators = []
    for operator in reversed(graph.operators):  # a file's operators stand in an order in which they can be run
        if wanted.intersection(map(int, operator.outputs)):
            operators.append(operator)
            wanted |= set(map(int, operator.inputs)) - {entrance}
    return operators[::-1]


def _leads(graph: Any, entrance: int, end: int) -> bool:
    return any(entrance in operator.inputs for operator in _between(graph, entrance, [end]))


def _piece(model: Any, entrance: int, exits: Sequence[int]) -> bytes:
    """Write what leads from one tensor of a model to others as a model of its own."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    operators = _between(graph, entrance, exits)
    tensors = sorted({int(i) for operator in operators for side in (operator.inputs, operator.outputs) for i in side} - {-1})
    place = {tensor: index for index, tensor in enumerate(tensors)} | {-1: -1}  # -1: an input left out
    piece, alone = schema.SubGraphT(), schema.ModelT()
    piece.inputs, piece.outputs = [place[int(entrance)]], [place[int(i)] for i in exits]
    piece.tensors = [copy(graph.tensors[i]) for i in tensors]
    piece.operators = [copy(operator) for operator in operators]
    for operator in piece.operators:
        operator.inputs, operator.outputs = ([place[int(i)] for i in side] for side in (operator.inputs, operator.outputs))
    alone.buffers = [schema.BufferT()]  # the first is the empty one, by the format's rule
    for tensor in piece.tensors:
        if model.buffers[tensor.buffer].data is None:
            tensor.buffer = 0
        else:
            alone.buffers.append(model.buffers[tensor.buffer])
            tensor.buffer = len(alone.buffers) - 1
    alone.version, alone.operatorCodes, alone.subgraphs = model.version, model.operatorCodes, [piece]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(alone.Pack(builder), b"TFL3")
    return bytes(builder.Output())
