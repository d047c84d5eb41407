"""A session over WebRTC: one peer, picture and sound out, the microphone in, a data channel for events.

aiortc is the only complete WebRTC in Python; BSD-3-Clause.
"""

import asyncio
import json
import logging
import re
import time
from collections import deque
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from huashen.errors import InputError
from huashen.types import Audio, Frame
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.server.room import Room

logger = logging.getLogger(__name__)

AHEAD = 3
"""Pictures that may wait for the encoder; an older one is dropped. Sound is never dropped."""
CLOCK = 90_000
"""Ticks a second of a picture's time, as RTP wants them."""
HEARD_RATE = 16_000
"""Hz of the microphone's sound for recognition."""
GATHERING = 1.0
"""Seconds that STUN and TURN servers have to answer: one that is away must not hold up those who do without (the page waits 2.6 s)."""
CONFIRMED = 5.0
"""Seconds a browser's receiver reports may be old and still show that somebody is there; they come about once a second."""


class Peer:
    """One browser that sees a room by WebRTC.

    Args:
        room: whose frames it shows.
        ice_servers: as the page gets them: [{"urls": …, "username": …, "credential": …}].
    """

    def __init__(self, room: "Room", ice_servers: list[dict[str, Any]]) -> None:
        import aiortc

        self.room = room
        self._loop = asyncio.get_running_loop()
        servers = [aiortc.RTCIceServer(**server) for server in ice_servers]
        self._peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=servers))
        self._picture, self._sound = _tracks(room.fps)
        self._tasks: set[asyncio.Task[None]] = set()
        self._channel: Any = None
        self._closed = False
        self._peer.on("datachannel", self._opened)
        self._peer.on("track", self._heard)
        self._peer.on("connectionstatechange", self._changed)

    async def answer(self, sdp: str) -> str:
        """Return the answer to a browser's offer.

        Raises:
            InputError: it is no offer, or asks for nothing that can be given.
        """
        import aiortc

        if "a=fingerprint:" not in sdp or "a=ice-ufrag:" not in sdp:  # aiortc finds that out only after it has answered
            raise InputError(tr("that is no usable WebRTC offer", "WebRTC offer 无法使用"))
        try:
            await self._peer.setRemoteDescription(aiortc.RTCSessionDescription(sdp, "offer"))
            for transceiver in self._peer.getTransceivers():
                track = {"video": self._picture, "audio": self._sound}[transceiver.kind]
                if transceiver.sender.track is None:
                    transceiver.sender.replaceTrack(track)
                    transceiver.direction = "sendrecv" if transceiver.kind == "audio" else "sendonly"
                _hurry(transceiver.sender.transport)
            await self._peer.setLocalDescription(await self._peer.createAnswer())
        except (ValueError, LookupError, AssertionError, AttributeError, TypeError, RuntimeError, aiortc.InvalidStateError) as error:
            await self.close()
            why = " ".join(str(error).split())[:200]  # aiortc's own words; what it makes of nonsense is an error of any of these kinds
            raise InputError(tr(f"that is no usable WebRTC offer ({why})", f"WebRTC offer 无法使用（{why}）")) from error
        self.room.join(self)
        # Browsers keep in step only what belongs to one stream; aiortc names one for each track.
        return re.sub(r"(a=msid:|a=ssrc:\d+ msid:)\S+ ", r"\1huashen ", self._peer.localDescription.sdp)

    def put(self, frame: Frame) -> None:
        """Take a frame; called from the room's own thread."""
        import cv2

        picture = cv2.cvtColor(frame.image, cv2.COLOR_RGB2YUV_I420)
        self._call(self._picture.put, picture, frame.index)
        self._call(self._sound.put, frame.audio)

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event; called from any thread."""
        self._call(self._send, event)

    def silence(self) -> None:
        """Drop what still waits to be shown: the room has been hushed."""
        self._call(self._sound.clear)

    async def alive(self) -> bool:
        """Return whether the browser has told lately that it receives."""
        if self._peer.connectionState != "connected":
            return False
        report = await self._peer.getStats()
        now = time.time()
        told = [value.timestamp.timestamp() for value in report.values() if value.type == "remote-inbound-rtp"]
        return bool(told) and now - max(told) < CONFIRMED

    async def close(self) -> None:
        """End the connection."""
        if self._closed:
            return
        self._closed = True
        self.room.leave(self)
        for task in self._tasks:
            task.cancel()
        with suppress(AttributeError):  # aiortc's own, where an offer was half understood: there is no transport to be stopped
            await self._peer.close()

    def _call(self, what: Any, *arguments: Any) -> None:
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *arguments)

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.on("message", lambda text: self.room.told(text, self))

    def _send(self, event: dict[str, Any]) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps(event, ensure_ascii=False))

    def _heard(self, track: Any) -> None:
        if track.kind == "audio":
            task = self._loop.create_task(self._listen(track))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _listen(self, track: Any) -> None:
        """Give the microphone's sound to the room, as one channel at `HEARD_RATE`."""
        import av
        from aiortc.mediastreams import MediaStreamError

        resampler = av.AudioResampler(format="s16", layout="mono", rate=HEARD_RATE)
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray().reshape(-1).astype(np.float32) / np.float32(32768)
                self.room.listen(Audio(samples, HEARD_RATE))

    async def _changed(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            await self.close()


def _hurry(transport: Any) -> None:
    """Let a transport wait less long for its ICE servers than aioice's five seconds, for which aiortc has no option."""
    connection = transport.transport.iceGatherer._connection
    connection.get_component_candidates = partial(connection.get_component_candidates, timeout=GATHERING)


def _tracks(fps: Fraction) -> tuple[Any, Any]:
    """Return the two tracks; their classes need aiortc, which is loaded only here."""
    import av
    from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

    class Picture(VideoStreamTrack):
        """Pictures as they come; one that the encoder could not take in time is left out."""

        def __init__(self) -> None:
            super().__init__()
            self._held: deque[tuple[Any, int]] = deque(maxlen=AHEAD)
            self._come = asyncio.Event()

        def put(self, image: Any, index: int) -> None:
            self._held.append((image, index))
            self._come.set()

        async def recv(self) -> Any:
            while not self._held:
                if self.readyState != "live":
                    raise MediaStreamError
                self._come.clear()
                await self._come.wait()
            image, index = self._held.popleft()
            frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
            frame.pts = round(index * CLOCK / fps)
            frame.time_base = Fraction(1, CLOCK)
            return frame

        def stop(self) -> None:
            super().stop()
            self._come.set()

    class Sound(AudioStreamTrack):
        """Sound in pieces of 20 ms."""

        def __init__(self) -> None:
            super().__init__()
            self._held: deque[Any] = deque()
            self._come = asyncio.Event()
            self._at = 0

        def put(self, audio: Audio) -> None:
            samples = (np.clip(audio.samples, -1, 1) * 32767).astype(np.int16)
            size = audio.rate // 50
            for begin in range(0, len(samples), size):
                frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + size], format="s16", layout="mono")
                frame.sample_rate = audio.rate
                frame.pts = self._at
                frame.time_base = Fraction(1, audio.rate)
                self._at += frame.samples
                self._held.append(frame)
            self._come.set()

        def clear(self) -> None:
            for frame in self._held:  # the clock goes on: silence takes the place of what was to come
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))

        async def recv(self) -> Any:
            while not self._held:
                if self.readyState != "live":
                    raise MediaStreamError
                self._come.clear()
                await self._come.wait()
            return self._held.popleft()

        def stop(self) -> None:
            super().stop()
            self._come.set()

    return Picture(), Sound()
