"""A virtual camera: what a session shows, as a webcam of this machine. Linux's v4l2loopback takes raw pictures by write(2).

Source: https://docs.kernel.org/userspace-api/media/v4l (structures and numbers of videodev2.h).
"""

import errno
import logging
import os
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from huashen.errors import InputError, MissingPartError, OutputError
from huashen.server.push import Condition
from huashen.types import Frame, Image
from huashen.words import tr

logger = logging.getLogger(__name__)

SYSTEM = Path("/sys/class/video4linux")
_QUERYCAP, _S_FMT = 0x80685600, 0xC0D05605
_CAPABILITIES = struct.Struct("=16s32s32s3I12x")
"""v4l2_capability: driver, card, bus, version, capabilities of the whole, of this device."""
_FORMAT = struct.Struct("=I4x12I152x")
"""v4l2_format with a v4l2_pix_format: the kind of buffer; width, height, pixels, field, bytes of a line, of a picture, colours …"""
_OUTPUT = 2
"""V4L2_CAP_VIDEO_OUTPUT, and V4L2_BUF_TYPE_VIDEO_OUTPUT too."""
_OF_DEVICE = 0x8000_0000
"""V4L2_CAP_DEVICE_CAPS: the last field tells of this device."""
_YUYV = int.from_bytes(b"YUYV", "little")
"""What every program that reads a webcam understands."""
_PROGRESSIVE, _SRGB = 1, 8

Ioctl = Callable[[int, int, bytearray], object]


class Camera:
    """Shows a channel's pictures on a virtual camera; a camera has no sound. `put` never waits.

    Args:
        device: /dev/videoN of v4l2loopback; "auto": the first one.
        size: (width, height) of the pictures.
        fps: frames a second.
        ioctl: asks the kernel; `fcntl.ioctl` when None.

    Raises:
        MissingPartError: there is no virtual camera here.
        InputError: that device is none.
        OutputError: it cannot be opened, or another program holds it to another size.
    """

    def __init__(self, device: str, size: tuple[int, int], fps: Fraction, *, ioctl: Ioctl | None = None) -> None:
        ioctl = ioctl or _kernel()
        self._path = find(ioctl) if device == "auto" else Path(device)
        self._file = _opened(self._path)
        try:
            self._size = _agreed(self._file, self._path, (size[0] // 2 * 2, size[1]), ioctl)
        except BaseException:
            os.close(self._file)
            raise
        self._frame: Frame | None = None
        self._come = threading.Condition()
        self._closing = False
        self._condition = Condition(str(self._path), "running", 0, 0, 1, 0)
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def condition(self) -> Condition:
        """Return how it does."""
        return self._condition

    def put(self, frame: Frame) -> None:
        """Take a frame; one that was not shown yet is left out."""
        with self._come:
            if self._frame is not None:
                self._condition = replace(self._condition, dropped=self._condition.dropped + 1)
            self._frame = frame
            self._come.notify()

    async def close(self) -> None:
        """End it."""
        import asyncio

        await asyncio.to_thread(self.end)

    def end(self) -> None:
        """End it; waits for it."""
        with self._come:
            self._closing = True
            self._come.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (frame := self._next()) is not None:
                picture = memoryview(as_yuyv(frame.image, self._size))
                count = len(picture)
                while picture:
                    picture = picture[os.write(self._file, picture) :]
                with self._come:
                    old = self._condition
                    self._condition = replace(old, frames=old.frames + 1, bytes=old.bytes + count)
            state, error = "ended", ""
        except OSError as wrong:
            state, error = "failed", wrong.strerror or str(wrong)
            logger.warning(tr("the camera %s takes no more pictures (%s)", "虚拟摄像头 %s 不再接收画面（%s）"), self._path, error)
        os.close(self._file)
        self._condition = replace(self._condition, state=state, error=error)  # type: ignore[arg-type]

    def _next(self) -> Frame | None:
        with self._come:
            while self._frame is None and not self._closing:
                self._come.wait()
            frame, self._frame = self._frame, None
            return None if self._closing else frame


def find(ioctl: Ioctl | None = None) -> Path:
    """Return the first virtual camera of this machine.

    Raises:
        MissingPartError: there is none; the text says how to get one.
    """
    if sys.platform != "linux":
        raise MissingPartError(tr(
            "a virtual camera of one's own is for Linux; here let OBS show the page as a browser source, and start its virtual camera",
            "内置虚拟摄像头仅支持 Linux；请用 OBS 的“浏览器”来源显示该网页，再启动 OBS 虚拟摄像头",
        ))  # fmt: skip
    ioctl = ioctl or _kernel()
    places = sorted(SYSTEM.glob("video*"), key=lambda path: int("0" + path.name.removeprefix("video")))
    for place in places:
        path = Path("/dev") / place.name
        try:
            file = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            if _takes_pictures(file, ioctl):
                return path
        finally:
            os.close(file)
    how = "sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback exclusive_caps=1 card_label=Huashen"
    raise MissingPartError(tr(f"there is no virtual camera here; make one: {how}", f"本机没有虚拟摄像头；请执行：{how}"))


def _kernel() -> Ioctl:
    import fcntl  # not on every system

    return fcntl.ioctl


def as_yuyv(image: Image, size: tuple[int, int]) -> bytes:
    """Return a picture as a camera gives it: two bytes a pixel, colours for every second one."""
    import cv2

    width, height = size
    return cv2.cvtColor(image[:height, :width], cv2.COLOR_RGB2YUV_YUYV).tobytes()


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError as error:
        raise InputError(
            tr(f"there is no {path}; --camera auto takes the first there is", f"没有 {path}；--camera auto 自动选择")
        ) from error
    except OSError as error:
        hint = tr("; add yourself to the group video", "；请把当前用户加入 video 组") if error.errno == errno.EACCES else ""
        raise OutputError(tr(f"{path} cannot be opened ({error.strerror}){hint}", f"无法打开 {path}（{error.strerror}）{hint}")) from error


def _takes_pictures(file: int, ioctl: Ioctl) -> bool:
    """Return whether a device takes pictures instead of giving some."""
    told = bytearray(_CAPABILITIES.size)
    try:
        ioctl(file, _QUERYCAP, told)
    except OSError:
        return False
    *_, whole, device = _CAPABILITIES.unpack(told)
    return bool((device if whole & _OF_DEVICE else whole) & _OUTPUT)


def _agreed(file: int, path: Path, size: tuple[int, int], ioctl: Ioctl) -> tuple[int, int]:
    """Tell a device what is to come; return the size of the pictures."""
    if not _takes_pictures(file, ioctl):
        raise InputError(tr(
            f"{path} is no virtual camera (v4l2loopback); --camera auto takes the first there is",
            f"{path} 不是虚拟摄像头（v4l2loopback）；--camera auto 自动选择",
        ))  # fmt: skip
    width, height = size
    asked = bytearray(_FORMAT.pack(_OUTPUT, width, height, _YUYV, _PROGRESSIVE, 2 * width, 2 * width * height, _SRGB, 0, 0, 0, 0, 0))
    try:
        ioctl(file, _S_FMT, asked)
    except OSError as error:
        raise OutputError(tr(
            f"{path} does not take {width}×{height} ({error.strerror}); another program may hold it",
            f"{path} 不接受 {width}×{height}（{error.strerror}）；可能被其他程序占用",
        )) from error  # fmt: skip
    _, wide, tall, pixels, *_ = _FORMAT.unpack(asked)
    if (wide, tall, pixels) != (width, height, _YUYV):
        raise OutputError(tr(
            f"{path} is held at {wide}×{tall} by another program; end that, or choose --size {wide}x{tall}",
            f"{path} 已被其他程序固定为 {wide}×{tall}；请关闭该程序，或使用 --size {wide}x{tall}",
        ))  # fmt: skip
    return size
