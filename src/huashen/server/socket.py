"""A session over one WebSocket, where UDP is blocked: sound as 16 bit samples, pictures as H.264 or JPEG, events as JSON.

A binary message is one byte that says what it is (1 sound, 2 JPEG, 3 H.264 key picture, 4 H.264), eight bytes with the moment of
the session's timeline in seconds (float64, little-endian), then the contents. The browser sends the microphone's 16 kHz samples
as bare binary messages.
"""

import asyncio
import json
import struct
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from huashen.types import Audio, Frame, Image

if TYPE_CHECKING:
    from huashen.server.room import Room

SOUND, JPEG, H264_KEY, H264 = 1, 2, 3, 4
AHEAD = 3
"""Pictures that may wait to be encoded; an older one is dropped. Sound is never dropped."""
BACKLOG = 4_000_000
"""Bytes that may wait in a connection that is too slow; more than that and it is closed."""
HEARD_RATE = 16_000
"""Hz of what the browser sends."""
MAX_MESSAGE = 64_000
"""Bytes of a message from the browser: two seconds of sound."""
QUALITY = 82
"""Of JPEG, 0 to 100."""


class Viewer:
    """One browser that sees a room by WebSocket.

    Args:
        room: whose frames it shows.
        video: "h264" where the browser decodes it, else "jpeg".
    """

    def __init__(self, room: "Room", video: Literal["h264", "jpeg"]) -> None:
        self.room = room
        self.video = video
        self._loop = asyncio.get_running_loop()
        self._pictures: deque[Frame] = deque(maxlen=AHEAD)
        self._others: deque[bytes | str] = deque()
        self._come = asyncio.Event()
        self._closed = False

    def put(self, frame: Frame) -> None:
        """Take a frame; called from the room's own thread."""
        samples = (np.clip(frame.audio.samples, -1, 1) * 32767).astype("<i2").tobytes()
        at = float(frame.index / self.room.fps)
        self._call(self._take, frame, struct.pack("<Bd", SOUND, at) + samples)

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event; called from any thread."""
        self._call(self._take, None, json.dumps(event, ensure_ascii=False))

    def silence(self) -> None:
        """Drop what still waits to be sent: the room has been hushed."""
        self._call(self._drop)

    async def alive(self) -> bool:
        """Return whether the browser is there: the connection's own pings close it otherwise."""
        return not self._closed

    async def serve(self, socket: Any) -> None:
        """Send until the connection ends, and give what comes to the room.

        Args:
            socket: aiohttp's WebSocketResponse, prepared.
        """
        import aiohttp

        self.room.join(self)
        sending = asyncio.create_task(self._send(socket))
        try:
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    if len(message.data) % 2 == 0:
                        samples = np.frombuffer(message.data, "<i2").astype(np.float32) / np.float32(32768)
                        self.room.listen(Audio(samples, HEARD_RATE))
                elif message.type == aiohttp.WSMsgType.TEXT:
                    self.room.told(message.data, self)
        finally:
            self._closed = True
            self.room.leave(self)
            sending.cancel()

    async def close(self) -> None:
        """End the connection."""
        self._closed = True
        self._come.set()

    def _call(self, what: Any, *arguments: Any) -> None:
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *arguments)

    def _take(self, frame: Frame | None, other: bytes | str) -> None:
        if frame is not None:
            self._pictures.append(frame)
        self._others.append(other)
        self._come.set()

    def _drop(self) -> None:
        self._pictures.clear()
        self._others = deque(other for other in self._others if isinstance(other, str))

    async def _send(self, socket: Any) -> None:
        encoder = Encoder(self.room.fps) if self.video == "h264" else None
        while not self._closed:
            await self._come.wait()
            self._come.clear()
            while self._others or self._pictures:
                if socket._req.transport is None or socket._req.transport.get_write_buffer_size() > BACKLOG:
                    await socket.close(code=1013, message=b"too slow")
                    return
                while self._others:
                    other = self._others.popleft()
                    await (socket.send_str(other) if isinstance(other, str) else socket.send_bytes(other))
                if self._pictures:
                    frame = self._pictures.popleft()
                    at = float(frame.index / self.room.fps)
                    kind, contents = await self._loop.run_in_executor(None, encoder.encode if encoder else _jpeg, frame.image)
                    await socket.send_bytes(struct.pack("<Bd", kind, at) + contents)
        await socket.close()


def _jpeg(image: Image) -> tuple[int, bytes]:
    import cv2

    done, contents = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return JPEG, contents.tobytes()


class Encoder:
    """H.264 without delay: every picture in is a picture out."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = fps
        self._context: Any = None
        self._count = 0

    def encode(self, image: Image) -> tuple[int, bytes]:
        import av

        height, width = image.shape[:2]
        if self._context is None:
            self._context = av.CodecContext.create("libx264", "w")
            self._context.width, self._context.height = width, height
            self._context.pix_fmt = "yuv420p"
            self._context.framerate, self._context.time_base = self._fps, 1 / self._fps
            self._context.gop_size = round(2 * self._fps)
            quality = {"crf": "22", "maxrate": "6M", "bufsize": "3M"}
            self._context.options = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", **quality}
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts = self._count
        self._count += 1
        packets = self._context.encode(frame)
        contents = b"".join(bytes(packet) for packet in packets)
        return (H264_KEY if any(packet.is_keyframe for packet in packets) else H264), contents
