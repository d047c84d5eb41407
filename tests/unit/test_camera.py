"""The virtual camera, against a file that stands for the device and a kernel that answers as v4l2loopback does."""

import struct
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from huashen import cli
from huashen.errors import InputError, MissingPartError, OutputError
from huashen.server import camera
from huashen.server.camera import Camera
from huashen.types import Audio, Frame

SIZE, FPS = (64, 48), Fraction(25)


class Kernel:
    """Answers as v4l2loopback does; the numbers are those of videodev2.h."""

    def __init__(self, *, device: int = 0x05200002, held: tuple[int, int] | None = None) -> None:
        self.device, self.held = device, held
        self.asked: tuple[int, ...] = ()

    def __call__(self, file: int, request: int, told: bytearray) -> int:
        if request == 0x80685600:  # VIDIOC_QUERYCAP
            assert len(told) == 104
            struct.pack_into("=II", told, 84, self.device | 0x80000000, self.device)
        else:
            assert request == 0xC0D05605  # VIDIOC_S_FMT
            assert len(told) == 208
            self.asked = struct.unpack_from("=I4x8I", told)
            if self.held:
                struct.pack_into("=II", told, 8, *self.held)
        return 0


def frame(k: int, colour: tuple[int, int, int]) -> Frame:
    return Frame(np.full((SIZE[1], SIZE[0], 3), colour, np.uint8), Audio(np.zeros(640, np.float32), 16_000), k)


def shown(output: Camera, count: int) -> None:
    until = time.monotonic() + 60
    while output.condition().frames < count and time.monotonic() < until:
        time.sleep(0.002)
    assert output.condition().frames == count


def test_pictures_arrive_as_a_webcam_gives_them(tmp_path: Path) -> None:
    device = tmp_path / "video9"
    device.touch()
    kernel = Kernel()
    output = Camera(str(device), SIZE, FPS, ioctl=kernel)
    colours = [(200, 30, 30), (20, 180, 60), (240, 240, 240)]
    for k, colour in enumerate(colours):
        output.put(frame(k, colour))
        shown(output, k + 1)
    output.end()
    assert kernel.asked == (2, 64, 48, int.from_bytes(b"YUYV", "little"), 1, 128, 64 * 48 * 2, 8, 0)
    got = np.frombuffer(device.read_bytes(), np.uint8).reshape(3, 48, 64, 2)
    for picture, colour in zip(got, colours, strict=True):
        assert np.abs(cv2.cvtColor(picture, cv2.COLOR_YUV2RGB_YUYV).astype(int) - colour).max() <= 4
    assert output.condition().state == "ended"
    assert output.condition().bytes == 3 * 64 * 48 * 2


def test_what_is_no_virtual_camera_is_told(tmp_path: Path) -> None:
    device = tmp_path / "video9"
    with pytest.raises(InputError, match="there is no"):
        Camera(str(device), SIZE, FPS, ioctl=Kernel())
    device.touch()
    with pytest.raises(InputError, match="no virtual camera"):
        Camera(str(device), SIZE, FPS, ioctl=Kernel(device=0x05200001))  # one that gives pictures
    with pytest.raises(InputError, match="no virtual camera"):
        Camera(str(device), SIZE, FPS)  # the real kernel, of a plain file
    with pytest.raises(OutputError, match="640×480"):
        Camera(str(device), SIZE, FPS, ioctl=Kernel(held=(640, 480)))


def test_a_machine_without_one_is_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(camera, "SYSTEM", tmp_path)
    with pytest.raises(MissingPartError, match="modprobe v4l2loopback"):
        camera.find()
    assert cli.main(["live", "--camera", "auto", "--no-browser"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "v4l2loopback" in line
    monkeypatch.setattr(camera.sys, "platform", "darwin")
    with pytest.raises(MissingPartError, match="OBS"):
        camera.find()


def test_a_camera_that_goes_away_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def gone(file: int, contents: object) -> int:
        raise OSError(19, "No such device")

    device = tmp_path / "video9"
    device.touch()
    output = Camera(str(device), SIZE, FPS, ioctl=Kernel())
    monkeypatch.setattr(camera.os, "write", gone)
    output.put(frame(0, (9, 9, 9)))
    output._thread.join(60)
    output.put(frame(1, (9, 9, 9)))
    output.end()
    assert output.condition().state == "failed"
    assert "No such device" in output.condition().error
    assert "No such device" in caplog.text
