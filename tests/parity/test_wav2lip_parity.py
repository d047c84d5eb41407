"""Wav2Lip's numbers, against those the published implementation gives for the same weights and inputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fixture
import numpy as np
import pytest

from huashen import device
from huashen.ops.mel import mel
from huashen.talking_head.wav2lip import Shot, Wav2Lip
from huashen.types import Audio, Speech

CLOSE = 1e-4


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="wants torch: pip install 'huashen[wav2lip]'")


def tensors(torch: Any, values: dict[str, np.ndarray]) -> dict[str, Any]:
    return {key: torch.from_numpy(np.asarray(value)) for key, value in values.items()}


@pytest.fixture(scope="module")
def generator(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """The published generator with drawn weights, and the same as an ONNX file (145 MB, removed again)."""
    from huashen.nets import wav2lip

    spec, _ = fixture.load("wav2lip_generator")
    state = tensors(torch, fixture.weights(spec))
    net = wav2lip.Generator(wav2lip.Layout.of(state))
    net.load_state_dict(state)
    file = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    wav2lip.save_onnx(net.eval(), file)
    yield net, file
    file.unlink()


def test_mel() -> None:
    _, expected = fixture.load("wav2lip_mel")
    assert np.abs(mel(expected["wave"]) - expected["mel"]).max() < CLOSE


def test_generator(torch: Any, generator: tuple[Any, Path]) -> None:
    spec, expected = fixture.load("wav2lip_generator")
    given = fixture.inputs(spec)
    with torch.no_grad():
        drawn = generator[0](**tensors(torch, given)).numpy()
    assert np.abs(drawn - expected["frames"]).max() < CLOSE
    (drawn,) = device.onnx(generator[1]).run(["frames"], given)
    assert np.abs(drawn - expected["frames"]).max() < CLOSE


def test_syncnet(torch: Any) -> None:
    from huashen.nets.wav2lip import SyncNet

    spec, expected = fixture.load("wav2lip_syncnet")
    net = SyncNet()
    net.load_state_dict(tensors(torch, fixture.weights(spec)))
    with torch.no_grad():
        sound, seen = net.eval()(**tensors(torch, fixture.inputs(spec)))
    assert np.abs(sound.numpy() - expected["audio_embedding"]).max() < CLOSE
    assert np.abs(seen.numpy() - expected["face_embedding"]).max() < CLOSE


def test_discriminator(torch: Any) -> None:
    from huashen.nets.wav2lip import Discriminator

    spec, expected = fixture.load("wav2lip_discriminator")
    net = Discriminator()
    net.load_state_dict(tensors(torch, fixture.weights(spec)))
    with torch.no_grad():
        score = net.eval()(**tensors(torch, fixture.inputs(spec)))
    assert np.abs(score.numpy() - expected["score"]).max() < CLOSE


@pytest.mark.parametrize("batch", [1, 3])
def test_frames(generator: tuple[Any, Path], batch: int) -> None:
    spec, expected = fixture.load("wav2lip_frames")
    wave = fixture.load("wav2lip_mel")[1]["wave"]
    engine = Wav2Lip(weights=generator[1], paste="plain", box=tuple(spec["box_top_bottom_left_right"]), batch=batch)
    shots = [Shot(np.ascontiguousarray(frame[..., ::-1]), None) for frame in expected["frames_bgr"]]
    speech = [Speech(Audio(piece, 16000)) for piece in np.array_split(wave, 7)]
    frames = np.stack([frame.image[..., ::-1] for frame in engine.redub(shots, speech)])
    away = np.abs(frames.astype(int) - expected["out_bgr"])
    assert away.max() <= 1
    assert (away == 0).mean() > 0.999


@pytest.mark.parametrize(
    ("size", "factor", "residual"), [(96, 4, False), (96, 16, True), (128, 16, False), (192, 16, True), (256, 16, True), (384, 16, True)]
)
def test_relatives_are_read_off_their_weights_and_converted(torch: Any, tmp_path: Path, size: int, factor: int, residual: bool) -> None:
    from huashen.nets.wav2lip import Generator, Layout, generator, save_onnx

    torch.manual_seed(0)
    layout = Layout.published(size, factor=factor, residual=residual)
    net = Generator(layout)
    torch.save({"state_dict": {f"module.{key}": value for key, value in net.state_dict().items()}}, tmp_path / "net.pth")
    read = generator(tmp_path / "net.pth")
    assert read.layout == layout
    assert read.layout.size == size
    save_onnx(read, tmp_path / "net.onnx")
    given = {"mel": torch.randn(2, 1, 80, 16), "face": torch.rand(2, 6, size, size)}
    with torch.no_grad():
        drawn = net.eval()(**given).numpy()
    (converted,) = device.onnx(tmp_path / "net.onnx").run(None, {key: value.numpy() for key, value in given.items()})
    assert drawn.shape == (2, 3, size, size)
    assert np.abs(converted - drawn).max() < CLOSE


def test_the_relative_with_an_attention_over_its_skips(torch: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    from huashen.nets.wav2lip import Generator, Layout, generator, save_onnx

    torch.manual_seed(1)
    layout = replace(Layout.published(192, factor=16), attention=True)
    net = Generator(layout)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    read = generator(tmp_path / "net.pth")
    assert read.layout == layout
    save_onnx(read, tmp_path / "net.onnx")
    given = {"mel": torch.randn(1, 1, 80, 16), "face": torch.rand(1, 6, 192, 192)}
    with torch.no_grad():
        drawn = net.eval()(**given).numpy()
    (converted,) = device.onnx(tmp_path / "net.onnx").run(None, {key: value.numpy() for key, value in given.items()})
    assert np.abs(converted - drawn).max() < CLOSE


def cost(torch: Any, layout: Any) -> tuple[int, int, int]:
    """Return weights and multiplications a frame, the latter also as common counters take transposed convolutions: by their output."""
    from huashen.nets.wav2lip import Generator

    net = Generator(layout).eval()
    true = counted = 0

    def note(layer: Any, given: Any, out: Any) -> None:
        nonlocal true, counted
        pixels = [values.shape[2] * values.shape[3] for values in (given[0], out)]
        true += layer.weight.numel() * pixels[not isinstance(layer, torch.nn.ConvTranspose2d)]
        counted += layer.weight.numel() * pixels[1]

    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.register_forward_hook(note)
    with torch.no_grad():
        net(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, layout.size, layout.size))
    return sum(values.numel() for values in net.parameters()), true, counted


def test_the_small_relative_needs_28_times_fewer_weights_and_operations(torch: Any) -> None:
    """36.3 million and 6.2 billion, against 1.26 million and 0.215 billion."""
    from huashen.nets.wav2lip import Layout

    large, small = cost(torch, Layout.published()), cost(torch, Layout.published(factor=4, residual=False))
    assert large == (36_298_035, 3_966_984_192, 6_202_417_152)
    assert small == (1_258_143, 75_002_880, 214_717_440)
    assert 28 < large[0] / small[0] < 29
    assert 28 < large[2] / small[2] < 29


@pytest.mark.parametrize(("size", "billions"), [(128, 6.98), (192, 15.8), (256, 28.1)])
def test_a_larger_crop_needs_as_many_more_operations_as_it_has_pixels(torch: Any, size: int, billions: float) -> None:
    from huashen.nets.wav2lip import Layout

    _, found, _ = cost(torch, Layout.published(size))
    assert found / 1e9 == pytest.approx(billions, rel=0.01)
    assert found / 3_966_984_192 == pytest.approx((size / 96) ** 2, rel=0.02)
