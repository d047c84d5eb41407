"""A real `huashen serve` process, measured at the receiver, over WebRTC and over the WebSocket.

    python benchmarks/server.py [--rounds 6] [--size 512] [--json FILE]

Each round says a text, waits, and hushes. From the POST of `say` to the first sound above -60 dB that arrives and to the picture that
belongs to it; from the POST of `hush` to the end of the last sound and to the first picture with a shut mouth (the lips' gap, found again
in the received pictures, within a fifth of its largest above that at rest, for good). What arrived is written to a file by the sender's
time stamps, and `huashen measure` tells how far sound and picture are apart, less the same of the same words rendered to a file.
Then 20 clients more than there are seats ask at once, and clients vanish without a word.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import aiortc
import av
import numpy as np
import psutil

import huashen
from huashen import measurement, media
from huashen.face.track import track
from huashen.types import Audio, Frame, Video

TEXT = "The quick brown fox jumps over the lazy dog, and my mother bakes a pumpkin pie for Bob. Maybe people will talk about it tomorrow."
QUIET = 1e-3  # -60 dB
SPOKEN = 3.0  # s until it is interrupted
REST = 1.2
FPS = 25
RATE = 16_000  # Hz of what is compared


@dataclass
class Received:
    """What one client got: arrival (monotonic seconds), moment on the sender's clock, contents."""

    sound: list[tuple[float, float, np.ndarray]] = field(default_factory=list)
    rate: int = 48_000
    pictures: list[tuple[float, float, np.ndarray]] = field(default_factory=list)
    rounds: list[tuple[float, float]] = field(default_factory=list)
    """When a text was sent, and when it was interrupted."""


async def rounds(http: aiohttp.ClientSession, session: str, count: int, got: Received) -> None:
    """Say, wait, interrupt; over and over."""
    await asyncio.sleep(2)
    for _ in range(count):
        begin = time.monotonic()
        async with http.post(f"{session}/say", json={"text": TEXT}) as reply:
            assert reply.status == 202
        await asyncio.sleep(SPOKEN)
        end = time.monotonic()
        async with http.post(f"{session}/hush") as reply:
            assert reply.status == 200
        got.rounds.append((begin, end))
        await asyncio.sleep(REST)
    async with http.post(f"{session}/say", json={"text": TEXT}) as reply:  # whole, to be compared
        assert reply.status == 202
    await asyncio.sleep(11)


async def by_websocket(address: str, count: int) -> Received:
    got = Received()
    packets: list[tuple[float, float, bytes]] = []
    async with aiohttp.ClientSession() as http:
        session = await opened(http, address)
        async with http.ws_connect(f"{session}/stream?video=h264", max_msg_size=0) as line:
            talking = asyncio.create_task(rounds(http, session, count, got))
            while not talking.done():
                message = await line.receive(10)
                if message.type != aiohttp.WSMsgType.BINARY:
                    continue
                kind, at = struct.unpack_from("<Bd", message.data)
                if kind == 1:
                    got.sound.append((time.monotonic(), at, np.frombuffer(message.data[9:], "<i2").astype(np.float32) / 32768))
                else:
                    packets.append((time.monotonic(), at, message.data[9:]))
            await talking
        async with http.get(session) as reply:
            got.rate = (await reply.json())["rate"]
        await http.delete(session)
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    for when, at, data in packets:  # decoded afterwards: this process is the same machine's
        got.pictures += [(when, at, frame.to_ndarray(format="rgb24")) for frame in decoder.decode(av.Packet(data))]
    return got


class Peer:
    """An aiortc client; what it receives is placed on the sender's clock by its reports, as browsers do."""

    def __init__(self, got: Received) -> None:
        self.got = got
        self.peer = aiortc.RTCPeerConnection()
        self.report: dict[str, list[tuple[float, int]]] = {}
        self.tasks: list[asyncio.Task[None]] = []
        for kind, direction in (("video", "recvonly"), ("audio", "sendrecv")):
            self._tap(kind, self.peer.addTransceiver(kind, direction=direction).receiver)
        self.peer.createDataChannel("events")
        self.peer.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self._take(track))))

    def _tap(self, kind: str, receiver: Any) -> None:
        rtcp = receiver._handle_rtcp_packet

        async def on_rtcp(packet: Any) -> None:
            if getattr(packet, "sender_info", None) is not None:
                self.report.setdefault(kind, []).append((packet.sender_info.ntp_timestamp / 2**32, packet.sender_info.rtp_timestamp))
            await rtcp(packet)

        receiver._handle_rtcp_packet = on_rtcp

    async def connect(self, http: aiohttp.ClientSession, session: str) -> None:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        async with http.post(f"{session}/offer", json={"type": "offer", "sdp": self.peer.localDescription.sdp}) as reply:
            await self.peer.setRemoteDescription(aiortc.RTCSessionDescription(**await reply.json()))
        while not (self.got.pictures and self.got.sound):
            await asyncio.sleep(0.02)

    async def _take(self, track: Any) -> None:
        with contextlib.suppress(aiortc.mediastreams.MediaStreamError):
            while True:
                frame = await track.recv()
                now = time.monotonic()
                if track.kind == "video":
                    self.got.pictures.append((now, frame.pts / 90_000, frame))
                else:
                    samples = frame.to_ndarray().reshape(-1, 2)[:, 0].astype(np.float32) / 32768
                    self.got.sound.append((now, frame.pts / 48_000, samples))

    def place(self) -> None:
        """Turn moments into the sender's clock, and pictures into arrays."""
        for kind, rate, rows in (("video", 90_000, self.got.pictures), ("audio", 48_000, self.got.sound)):
            receiver = next(one.receiver for one in self.peer.getTransceivers() if one.kind == kind)
            # aiortc counts from the first frame that it got whole, and dates its reports by when it sent: the promptest is right
            origin = receiver._RTCRtpReceiver__timestamp_mapper._origin
            begin = min(ntp + ((origin - rtp + 2**31) % 2**32 - 2**31) / rate for ntp, rtp in self.report[kind])
            rows[:] = [(when, begin + at, x.to_ndarray(format="rgb24") if kind == "video" else x) for when, at, x in rows]

    async def close(self) -> None:
        await self.peer.close()
        for task in self.tasks:
            await task


async def by_webrtc(address: str, count: int) -> Received:
    got = Received()
    async with aiohttp.ClientSession() as http:
        session = await opened(http, address)
        peer = Peer(got)
        await peer.connect(http, session)
        await rounds(http, session, count, got)
        await peer.close()
        await http.delete(session)
    peer.place()
    return got


async def opened(http: aiohttp.ClientSession, address: str) -> str:
    async with http.post(f"{address}/v1/sessions", json={"chat": "none", "lang": "en"}) as reply:
        assert reply.status == 201, await reply.text()
        return f"{address}/v1/sessions/{(await reply.json())['id']}"


def latencies(got: Received) -> dict[str, list[float]]:
    """Return the milliseconds of each round."""
    gaps = []
    for (_, _, image), face in zip(got.pictures, track((image for _, _, image in got.pictures), steady=0), strict=True):
        points = None if face is None else face.landmarks.points
        gaps.append(np.nan if points is None or image is None else float(
            np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263])
        ))  # fmt: skip
    loud = [(when, at, len(x) / got.rate) for when, at, x in got.sound if np.abs(x).max() > QUIET]
    found: dict[str, list[float]] = {"say_sound": [], "say_picture": [], "hush_silence": [], "hush_shut": []}
    for begin, end in got.rounds:
        here = [row for row in loud if begin <= row[0] <= end]
        first, moment, _ = here[0]
        found["say_sound"].append(first - begin)
        found["say_picture"].append(next(when for when, at, _ in got.pictures if when >= begin and at >= moment - 0.5 / FPS) - begin)
        last = [when + length for when, _, length in loud if end <= when <= end + REST]
        found["hush_silence"].append(max(last, default=end) - end)
        whens = np.array([when for when, _, _ in got.pictures])
        gap = np.array(gaps)
        rest = np.nanmedian(gap[(whens > begin - 0.6) & (whens < begin)])
        most = np.nanmax(gap[(whens > begin) & (whens < end)])
        opened_ = np.flatnonzero((whens >= end) & (whens <= end + REST) & (gap > rest + 0.2 * (most - rest)))
        found["hush_shut"].append(float(whens[opened_[-1] + 1] - end) if len(opened_) else 0.0)
    return {name: [1000 * value for value in values] for name, values in found.items()}


def write(got: Received, since: float, path: Path) -> None:
    """Write what arrived from a moment on, placed by its time stamps."""
    sound = [(at, x) for when, at, x in got.sound if when >= since]
    origin = sound[0][0]
    length = sound[-1][0] - origin
    whole = np.zeros(round((length + 0.1) * got.rate), np.float32)
    for at, x in sound:
        begin = round((at - origin) * got.rate)
        whole[begin : begin + len(x)] = x[: len(whole) - begin]
    moments = np.array([at - origin for _, at, _ in got.pictures])

    def frames() -> Any:
        samples = got.rate // FPS
        for k in range(int(length * FPS)):
            index = max(0, int(np.searchsorted(moments, (k + 0.5) / FPS)) - 1)  # what is seen in the middle of that frame
            yield Frame(got.pictures[index][2], Audio(whole[k * samples : (k + 1) * samples], got.rate), k)

    height, width = got.pictures[0][2].shape[:2]
    media.write_video(Video(frames(), Fraction(FPS), (width, height), got.rate), path)


def offset(path: Path) -> tuple[float | None, float]:
    """Return by how many milliseconds the sound comes after the picture, and how sure that is."""
    found = measurement.measure(path).sync
    return (found.offset_ms, found.confidence) if found is not None else (None, 0.0)


async def rush(address: str, seats: int) -> tuple[int, int, float]:
    """Ask for 20 seats more than there are; return how many came in, how many were refused as they should be, and the seconds it took."""
    async with aiohttp.ClientSession() as http:

        async def one() -> tuple[int, bool, str]:
            async with http.post(f"{address}/v1/sessions", json={"chat": "none"}) as reply:
                told = await reply.json()
                clean = int(reply.headers.get("Retry-After", 0)) >= 1 and "\n" not in told.get("error", "\n")
                return reply.status, clean, told.get("id", "")

        begin = time.monotonic()
        found = await asyncio.gather(*(one() for _ in range(seats + 20)))
        took = time.monotonic() - begin
        for status, _, id in found:
            if status == 201:
                await http.delete(f"{address}/v1/sessions/{id}")
    return sum(status == 201 for status, _, _ in found), sum(status == 429 and clean for status, clean, _ in found), took


async def hold(session: str) -> None:
    """Watch a session by WebRTC until this process is stopped."""
    async with aiohttp.ClientSession() as http:
        await Peer(Received()).connect(http, session)
        print("seen", flush=True)
        await asyncio.sleep(600)


async def vanish(address: str) -> dict[str, float]:
    """Return after how many seconds the seats of clients are free that vanish without a word."""
    found: dict[str, float] = {}
    async with aiohttp.ClientSession() as http:

        async def freed() -> float:
            begin = time.monotonic()
            while True:
                async with http.get(f"{address}/healthz") as reply:  # asking for the session would renew it
                    if (await reply.json())["sessions"] == 0:
                        return time.monotonic() - begin
                await asyncio.sleep(0.1)

        session = await opened(http, address)
        found["never connected"] = await freed()
        session = await opened(http, address)
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as line:
            line.sendall(f"GET {session.removeprefix(address)}/stream HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
            assert await asyncio.to_thread(line.recv, 12) == b"HTTP/1.1 101"
            found["WebSocket"] = await freed()
        session = await opened(http, address)
        process = subprocess.Popen([sys.executable, __file__, "--hold", session], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        process.send_signal(signal.SIGSTOP)
        found["WebRTC"] = await freed()
        process.kill()
        process.wait()
    return found


def spent(process: psutil.Process) -> float:
    """Return the processor seconds of a process and its children."""
    return sum(sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--size", default="512")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--hold", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hold:
        asyncio.run(hold(args.hold))
        return
    command = [sys.executable, "-m", "huashen", "serve", "--face", "example", "--asr", "none", "--port", "0", "--size", args.size]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "HUASHEN_LANG": "en", "PYTHONUNBUFFERED": "1"})
    found: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        address = "http://127.0.0.1:" + line.split("localhost:")[1].split("/")[0]
        process = psutil.Process(server.pid)
        with tempfile.TemporaryDirectory() as name:
            huashen.say(TEXT, face="example", out=f"{name}/file.mp4", size=args.size, lang="en", fps=FPS)
            control, sure = offset(Path(name, "file.mp4"))
            found["file"] = {"offset_ms": control, "confidence": sure}
            print(f"a file of the same words: sound after picture {control} ms (confidence {sure:.2f})", flush=True)
            for kind, receive in (("websocket", by_websocket), ("webrtc", by_webrtc)):
                begin, used = time.monotonic(), spent(process)
                got = asyncio.run(receive(address, args.rounds))
                cores = (spent(process) - used) / (time.monotonic() - begin)
                values = latencies(got)
                write(got, got.rounds[-1][1] + REST, Path(name, f"{kind}.mp4"))
                away, sure = offset(Path(name, f"{kind}.mp4"))
                skew = away - control if away is not None and control is not None else None
                found[kind] = {**values, "offset_ms": away, "confidence": sure, "skew_ms": skew, "cores": cores}
                words = ", ".join(f"{key} {np.median(row):.0f} / {max(row):.0f}" for key, row in values.items())
                shown = "?" if skew is None else f"{skew:+.0f}"
                print(f"{kind}: {words} ms (median / worst of {args.rounds}); skew {shown} ms (confidence {sure:.2f}); {cores:.2f} cores",
                      flush=True)  # fmt: skip
        came, refused, took = asyncio.run(rush(address, 2))
        found["rush"] = {"in": came, "refused": refused, "seconds": took}
        print(f"22 at once for 2 seats: {came} came in, {refused} were refused with 429 and Retry-After, within {took:.2f} s", flush=True)
        found["vanished"] = asyncio.run(vanish(address))
        print("vanished clients' seats were free after", ", ".join(f"{value:.1f} s ({key})" for key, value in found["vanished"].items()))
    finally:
        server.terminate()
        server.wait(30)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
