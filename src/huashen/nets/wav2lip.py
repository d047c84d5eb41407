"""Wav2Lip: the generator, the SyncNet it was trained against, and its picture-quality discriminator.

Keys and shapes are those of the published checkpoints, so these load as they are: `wav2lip.pth` and `wav2lip_gan.pth` (generator),
`lipsync_expert.pth` (SyncNet), `visual_quality_disc.pth` (discriminator). Relatives of the generator with other widths, depths,
larger crops or an attention over its skips differ in the shapes of their weights only: `Layout.of` reads all of it off a checkpoint.

Source: Prajwal, Mukhopadhyay, Namboodiri, Jawahar, A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild,
ACM Multimedia 2020, and https://github.com/Rudrabha/Wav2Lip, whose weights were trained on LRS2: research and other non-commercial use
only. Smaller relatives: Kim et al., arXiv 2304.00471. Written anew from the layout of the checkpoints.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everyone calls it

from huashen.errors import InputError, UnreadableError
from huashen.nets.onnx import Graph
from huashen.types import Floats
from huashen.words import tr

Shape = tuple[int, int, int]
"""One convolution: channels in, channels out, side of its kernel."""
Shapes = tuple[Shape, ...]

MEL = (80, 16)
"""Bands and columns of sound that one frame sees."""


@dataclass(frozen=True)
class Layout:
    """The shape of a generator. Strides and paddings follow from it."""

    face: tuple[Shapes, ...]
    """Stages of the face's encoder: full size; each then halves it; the last makes one pixel of what is left."""
    audio: Shapes
    decoder: tuple[Shapes, ...]
    """Stages of the decoder: one pixel; its kernel's size; each then doubles it."""
    head: tuple[Shape, Shape]
    attention: bool = False
    """Whether the decoder is weighted by a map made of the skip (the 192 pixel relative)."""

    @property
    def size(self) -> int:
        """Side of the face's crop, pixels."""
        return self.face[-1][0][2] << (len(self.face) - 2)

    @staticmethod
    def published(size: int = 96, *, factor: int = 1, residual: bool = True) -> "Layout":
        """Return the published generator's layout, or that of a relative.

        Args:
            size: side of the crop: 3 or 4 times a power of two, such as 96, 128, 192, 256, 384.
            factor: what its widths are divided by; 4 without residual layers is the 28 times smaller one of arXiv 2304.00471.
            residual: whether stages have layers after their first.

        Raises:
            InputError: the size is none of these.
        """
        last = 3 if size % 3 == 0 else 4
        levels = (size // last).bit_length() - 1
        if levels < 2 or size != last << levels:
            raise InputError(tr(f"a crop of {size} pixels cannot be halved down to 3 or 4", f"{size} 像素的裁剪无法逐次减半到 3 或 4"))
        widths = [min(512, 16 << i) // factor for i in range(levels + 1)]
        repeats = [0, *([2, 3] + [2] * levels)[: levels - 1], 1]
        face: list[Shapes] = [((6, widths[0], 7),)]
        for level in range(1, levels + 1):
            face.append(((widths[level - 1], widths[level], 3), *[(widths[level], widths[level], 3)] * (repeats[level] * residual)))
        top = widths[-1]
        face.append(((top, top, last), (top, top, 1)))

        outs = [max(64, min(512, n)) // factor for n in [512] * (levels + 1)]
        outs[-min(4, len(outs)) :] = [n // factor for n in (384, 256, 128, 64)][-len(outs) :]
        decoder: list[Shapes] = [((512 // factor, 512 // factor, 1),)]
        skips = [top, *reversed(widths)]
        width = 512 // factor
        for i, out in enumerate(outs):
            decoder.append(((width + skips[i], out, last if i == 0 else 3), *[(out, out, 3)] * ((1 if i == 0 else 2) * residual)))
            width = out
        audio: list[Shape] = []
        for given, out, more in ((1, 32, 2), (32, 64, 2), (64, 128, 2), (128, 256, 1)):
            audio += [(max(1, given // factor), out // factor, 3), *[(out // factor, out // factor, 3)] * (more * residual)]
        audio += [(256 // factor, 512 // factor, 3), (512 // factor, 512 // factor, 1)]
        end = 32 // factor
        return Layout(tuple(face), tuple(audio), tuple(decoder), ((width + widths[0], end, 3), (end, 3, 1)))

    @staticmethod
    def of(state: Mapping[str, Tensor]) -> "Layout":
        """Read the layout off a checkpoint.

        Raises:
            UnreadableError: it is no generator of this family.
        """
        try:
            face, decoder = _stages(state, "face_encoder_blocks"), _stages(state, "face_decoder_blocks", up=True)
            layers = _stage(state, "audio_encoder.", up=False)
            ends = _shape(state["output_block.0.conv_block.0.weight"]), _shape(state["output_block.1.weight"])
        except KeyError as error:
            raise UnreadableError(tr(f"no generator: {error} is missing", f"不是生成器：缺少 {error}")) from error
        layout = Layout(face, layers, decoder, ends, "sam.sa.conv1.weight" in state)
        if len(face) < 3 or len(face) != len(decoder) or not layers or face[0][0][0] != 6 or layout.head[1][1] != 3:
            raise UnreadableError(tr("its layers are not those of a Wav2Lip generator", "其结构不是 Wav2Lip 生成器"))
        return layout


def _shape(weight: Tensor, *, up: bool = False) -> Shape:
    first, second, side = (int(n) for n in weight.shape[:3])
    return (first, second, side) if up else (second, first, side)  # transposed convolutions keep (in, out, k, k)


def _stage(state: Mapping[str, Tensor], prefix: str, *, up: bool) -> Shapes:
    found: list[Shape] = []
    while (key := f"{prefix}{len(found)}.conv_block.0.weight") in state:
        found.append(_shape(state[key], up=up and not found))
    return tuple(found)


def _stages(state: Mapping[str, Tensor], prefix: str, *, up: bool = False) -> tuple[Shapes, ...]:
    found: list[Shapes] = []
    while stage := _stage(state, f"{prefix}.{len(found)}.", up=up and bool(found)):
        found.append(stage)
    return tuple(found)


class Layer(nn.Module):
    """A convolution, a batch norm and a ReLU; a residual one adds what came in before the ReLU."""

    def __init__(self, shape: Shape, stride: int | tuple[int, int] = 1, pad: int = 0, *, residual: bool = False) -> None:
        super().__init__()
        given, out, side = shape
        self.residual = residual
        self.conv_block = nn.Sequential(nn.Conv2d(given, out, side, stride, pad), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        return F.relu(y + x if self.residual else y)


class Growing(nn.Module):
    """A transposed convolution, a batch norm and a ReLU; `double` makes its picture twice as large."""

    def __init__(self, shape: Shape, *, double: bool) -> None:
        super().__init__()
        given, out, side = shape
        twice = int(double)
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(given, out, side, 1 + twice, padding=twice, output_padding=twice), nn.BatchNorm2d(out)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv_block(x))


class Plain(nn.Module):
    """A convolution without norm, and a leaky ReLU."""

    def __init__(self, shape: Shape, stride: int | tuple[int, int] = 1, pad: int = 0) -> None:
        super().__init__()
        given, out, side = shape
        self.conv_block = nn.Sequential(nn.Conv2d(given, out, side, stride, pad))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv_block(x), 0.01)


class Attention(nn.Module):
    """Weights the decoder's channels by a map made of the skip's mean and maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.sa = nn.ModuleDict({"conv1": nn.Conv2d(2, 1, 7, padding=3, bias=False)})

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        two = torch.cat([skip.mean(1, keepdim=True), skip.amax(1, keepdim=True)], 1)  # (b, 2, h, w)
        return x * torch.sigmoid(self.sa["conv1"](two)) + x  # (b, c, h, w)


def _repeat(shapes: Shapes) -> list[nn.Module]:
    """Return the layers of a stage after its first: same size, residual."""
    return [Layer(shape, 1, shape[2] // 2, residual=True) for shape in shapes[1:]]


def _hearing(shapes: Shapes) -> nn.Sequential:
    """Return the encoder of sound: (b, 1, 80, 16) to (b, c, 1, 1)."""
    strides: list[tuple[int, int]] = [(1, 1), (3, 1), (3, 3), (3, 2)]  # 80×16, 27×16, 9×6, 3×3
    layers: list[nn.Module] = []
    for i, shape in enumerate(shapes):
        final = all(later[2] == 1 for later in shapes[i + 1 :])  # the last 3×3 one takes all that is left
        if shape[2] == 1 or final:
            layers.append(Layer(shape))
        elif shape[0] == shape[1]:
            layers.append(Layer(shape, 1, 1, residual=True))
        else:
            layers.append(Layer(shape, strides.pop(0) if strides else 1, 1))
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """Redraws the lower half of a face to fit a stretch of sound."""

    def __init__(self, layout: Layout | None = None) -> None:
        super().__init__()
        self.layout = layout = layout or Layout.published()
        first, *middle, last = layout.face
        self.face_encoder_blocks = nn.ModuleList([
            nn.Sequential(Layer(first[0], 1, first[0][2] // 2), *_repeat(first)),
            *(nn.Sequential(Layer(stage[0], 2, 1), *_repeat(stage)) for stage in middle),
            nn.Sequential(*(Layer(shape) for shape in last)),
        ])  # fmt: skip
        self.audio_encoder = _hearing(layout.audio)
        start, *growing = layout.decoder
        self.face_decoder_blocks = nn.ModuleList([
            nn.Sequential(*(Layer(shape) for shape in start)),
            *(nn.Sequential(Growing(stage[0], double=i > 0), *_repeat(stage)) for i, stage in enumerate(growing)),
        ])  # fmt: skip
        before, end = layout.head
        self.output_block = nn.Sequential(Layer(before, 1, 1), nn.Conv2d(end[0], end[1], end[2]), nn.Sigmoid())
        if layout.attention:
            self.sam = Attention()

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Draw faces.

        Args:
            mel: (b, 1, 80, 16) in [-4, 4].
            face: (b, 6, size, size) in [0, 1]: BGR with the lower half black, then BGR of a reference.

        Returns:
            (b, 3, size, size) BGR in [0, 1].
        """
        skips = []
        x = face  # (b, 6, 96, 96)
        for stage in self.face_encoder_blocks:
            x = stage(x)  # (b, 16, 96, 96), (b, 32, 48, 48), … (b, 512, 3, 3), (b, 512, 1, 1)
            skips.append(x)
        x = self.audio_encoder(mel)  # (b, 512, 1, 1)
        for stage in self.face_decoder_blocks:
            x = stage(x)  # (b, 512, 1, 1), (b, 512, 3, 3), (b, 512, 6, 6), … (b, 64, 96, 96)
            skip = skips.pop()
            if self.layout.attention:
                x = self.sam(skip, x)
            x = torch.cat([x, skip], 1)  # (b, 1024, 1, 1), … (b, 80, 96, 96)
        y: Tensor = self.output_block(x)  # (b, 3, 96, 96)
        return y


class SyncNet(nn.Module):
    """Tells whether five frames of a mouth and a stretch of sound belong together."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder = nn.Sequential(  # (b, 15, 48, 96)
            Layer((15, 32, 7), 1, 3),  # (b, 32, 48, 96)
            Layer((32, 64, 5), (1, 2), 1), *_again(64, 2),  # (b, 64, 46, 47)
            Layer((64, 128, 3), 2, 1), *_again(128, 3),  # (b, 128, 23, 24)
            Layer((128, 256, 3), 2, 1), *_again(256, 2),  # (b, 256, 12, 12)
            Layer((256, 512, 3), 2, 1), *_again(512, 2),  # (b, 512, 6, 6)
            Layer((512, 512, 3), 2, 1),  # (b, 512, 3, 3)
            Layer((512, 512, 3)), Layer((512, 512, 1)),  # (b, 512, 1, 1)
        )  # fmt: skip
        sound: list[Shape] = []
        for given, out, more in ((1, 32, 2), (32, 64, 2), (64, 128, 2), (128, 256, 2)):
            sound += [(given, out, 3), *[(out, out, 3)] * more]
        self.audio_encoder = _hearing((*sound, (256, 512, 3), (512, 512, 1)))

    def forward(self, mel: Tensor, mouths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of sound and mouths, each of length 1; their product says how well they agree.

        Args:
            mel: (b, 1, 80, 16) in [-4, 4].
            mouths: (b, 15, 48, 96) in [0, 1]: the lower halves of five frames after each other, BGR.

        Returns:
            (b, 512) and (b, 512).
        """
        sound = self.audio_encoder(mel).flatten(1)  # (b, 512)
        seen = self.face_encoder(mouths).flatten(1)  # (b, 512)
        return F.normalize(sound, dim=1), F.normalize(seen, dim=1)


def _again(width: int, times: int) -> list[nn.Module]:
    return [Layer((width, width, 3), 1, 1, residual=True) for _ in range(times)]


class Discriminator(nn.Module):
    """Tells drawn lower halves of faces from real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = nn.ModuleList([
            nn.Sequential(Plain((3, 32, 7), 1, 3)),  # (n, 32, 48, 96)
            nn.Sequential(Plain((32, 64, 5), (1, 2), 2), Plain((64, 64, 5), 1, 2)),  # (n, 64, 48, 48)
            nn.Sequential(Plain((64, 128, 5), 2, 2), Plain((128, 128, 5), 1, 2)),  # (n, 128, 24, 24)
            nn.Sequential(Plain((128, 256, 5), 2, 2), Plain((256, 256, 5), 1, 2)),  # (n, 256, 12, 12)
            nn.Sequential(Plain((256, 512, 3), 2, 1), Plain((512, 512, 3), 1, 1)),  # (n, 512, 6, 6)
            nn.Sequential(Plain((512, 512, 3), 2, 1), Plain((512, 512, 3), 1, 1)),  # (n, 512, 3, 3)
            nn.Sequential(Plain((512, 512, 3)), Plain((512, 512, 1))),  # (n, 512, 1, 1)
        ])  # fmt: skip
        self.binary_pred = nn.Sequential(nn.Conv2d(512, 1, 1), nn.Sigmoid())

    def forward(self, faces: Tensor) -> Tensor:
        """Return how real each frame looks.

        Args:
            faces: (b, 3, t, 96, 96) in [0, 1], BGR.

        Returns:
            (t·b, 1) in [0, 1], frame by frame: the first frames of all, then the second ones.
        """
        x = faces.transpose(1, 2).transpose(0, 1).flatten(0, 1)  # (t·b, 3, 96, 96)
        x = x[:, :, x.shape[2] // 2 :]  # (t·b, 3, 48, 96)
        for stage in self.face_encoder_blocks:
            x = stage(x)
        y: Tensor = self.binary_pred(x)  # (t·b, 1, 1, 1)
        return y.flatten(1)


def read(file: Path) -> dict[str, Tensor]:
    """Read a checkpoint's tensors, whether they are wrapped in a `state_dict`, and whether their keys begin with `module.`.

    Raises:
        UnreadableError: the file is no checkpoint, or holds more than tensors and plain values.
    """
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise UnreadableError(tr(f"{file} is no checkpoint of torch ({reason})", f"{file} 不是 torch 的检查点（{reason}）")) from error
    state = held.get("state_dict", held) if isinstance(held, dict) else {}
    tensors = {str(key).removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UnreadableError(tr(f"{file} holds no weights", f"{file} 中没有权重"))
    return tensors


def generator(file: Path) -> Generator:
    """Build the generator of a checkpoint.

    Raises:
        UnreadableError: the file is none, or not of this family; the text names it.
    """
    state = read(file)
    try:
        net = Generator(Layout.of(state))
        net.load_state_dict(state)
        net.eval()
    except UnreadableError as error:
        raise UnreadableError(f"{file}: {error}") from error
    except RuntimeError as error:
        raise UnreadableError(tr(
            f"{file}: its layers are not those of a Wav2Lip generator", f"{file}：其结构不是 Wav2Lip 生成器"
        )) from error  # fmt: skip
    return net


def save_onnx(net: Generator, file: Path) -> None:
    """Write a generator as ONNX, batch norms folded into the convolutions: inputs mel and face, output frames."""
    graph, side = Graph("wav2lip"), net.layout.size
    mel, face = graph.input("mel", ("b", 1, *MEL)), graph.input("face", ("b", 6, side, side))
    skips = []
    x = face
    for stage in net.face_encoder_blocks:
        x = _write(graph, x, stage)
        skips.append(x)
    x = _write(graph, mel, net.audio_encoder)
    for stage in net.face_decoder_blocks:
        x = _write(graph, x, stage)
        skip = skips.pop()
        if net.layout.attention:
            two = graph.join(graph.over_channels("ReduceMean", skip), graph.over_channels("ReduceMax", skip))
            weight = next(net.sam.parameters()).detach().numpy()
            share = graph.apply("Sigmoid", graph.convolve(two, weight, weight[:, 0, 0, 0] * 0, pad=3))
            x = graph.apply("Add", graph.apply("Mul", x, share), x)
        x = graph.join(x, skip)
    x = _write(graph, x, net.output_block[:1])
    weight, bias = (parameter.detach().numpy() for parameter in net.output_block[1].parameters())
    x = graph.convolve(x, weight, bias)
    graph.output("frames", graph.apply("Sigmoid", x), ("b", 3, side, side))
    graph.save(file)


def _write(graph: Graph, x: str, stage: nn.Module) -> str:
    for layer in stage.children():
        assert isinstance(layer, Layer | Growing)
        conv, norm = layer.conv_block
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
        assert isinstance(norm, nn.BatchNorm2d)
        weight, bias = _folded(conv, norm)
        if isinstance(layer, Growing):
            double = conv.stride[0] - 1
            y = graph.spread(x, weight, bias, stride=1 + double, pad=double, extra=double)
        else:
            y = graph.convolve(x, weight, bias, stride=(conv.stride[0], conv.stride[1]), pad=int(conv.padding[0]))
        if getattr(layer, "residual", False):
            y = graph.apply("Add", y, x)
        x = graph.apply("Relu", y)
    return x


def _folded(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> tuple[Floats, Floats]:
    """Return weight and bias of a convolution and the batch norm after it in one."""
    values = (conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    weight, bias, scale, shift, mean, variance = (v.detach().double() for v in values if v is not None)
    scale = scale / torch.sqrt(variance + norm.eps)
    along = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    return (weight * scale.view(along)).float().numpy(), ((bias - mean) * scale + shift).float().numpy()
