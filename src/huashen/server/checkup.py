"""What a live session needs of a machine: `huashen doctor --live`. Each check says in a sentence what is wrong and what to do."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from huashen.doctor import Check
from huashen.errors import UnreadableError
from huashen.server.house import loopback
from huashen.words import tr

PATIENCE = 8.0
"""Seconds for two peers on this machine to find each other."""
SECONDS = 2
"""Seconds of pictures that are encoded to see how fast that is."""


def examine(
    *, host: str = "127.0.0.1", port: int = 8000, secure: bool = False, ice_servers: list[dict[str, Any]] | None = None,
    certificate: Path | None = None, key: Path | None = None,
) -> list[Check]:  # fmt: skip
    """Look at what `huashen live` and `huashen serve` need.

    Args:
        host, port: where the server is to listen.
        secure: whether it will speak https.
        ice_servers: for WebRTC, as browsers take them.
        certificate, key: PEM files with which it will speak https.
    """
    paper = list(_certificate(certificate, key)) if certificate is not None else []
    secure = secure or any(check.state != "missing" for check in paper)
    return [
        *_port(host, port), *paper, *_microphone(host, secure=secure), *_webrtc(ice_servers or []), *_encoder(), *_ears(),
    ]  # fmt: skip


def report(checks: list[Check]) -> str:
    """Lay the checks out for reading, and end with a sentence."""
    from huashen import terminal

    marks = {"fine": tr("ok", "正常"), "note": tr("note", "提示"), "missing": tr("MISSING", "缺少")}
    lines = terminal.table([[marks[check.state], check.name, check.words] for check in checks])
    wrong = [check for check in checks if check.state == "missing"]
    if wrong:
        return f"{lines}\n" + tr(f"live sessions will not work: {wrong[0].words}", f"实时会话无法使用：{wrong[0].words}")
    return f"{lines}\n" + tr("live sessions can run here", "本机可以运行实时会话")


def _port(host: str, port: int) -> Iterator[Check]:
    name = tr("port", "端口")
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except (OSError, OverflowError) as error:
        reason = os.strerror(getattr(error, "errno", 0) or 0)
        yield Check(name, "missing", tr(
            f"{host}:{port} cannot be listened on ({reason}); choose another with --port",
                f"无法监听 {host}:{port}（{reason}）；请用 --port 换一个"
        ))  # fmt: skip
        return
    yield Check(name, "fine", tr(f"{host}:{port} is free", f"{host}:{port} 可用"))


def _microphone(host: str, *, secure: bool) -> Iterator[Check]:
    name = tr("microphone", "麦克风")
    if loopback(host) or secure:
        where = "https" if secure else "localhost"
        yield Check(name, "fine", tr(f"browsers give it to {where}, and ask the user", f"浏览器允许 {where} 使用，并会询问用户"))
    else:
        yield Check(name, "note", tr(
            "browsers give it to https and localhost only: use --certificate and --key, or a proxy that speaks https",
            "浏览器只允许 https 和 localhost 使用：请用 --certificate 和 --key，或在前面架设 https 代理",
        ))  # fmt: skip


def _certificate(certificate: Path, key: Path | None) -> Iterator[Check]:
    from cryptography import x509

    from huashen.server.run import secured

    name = tr("certificate", "证书")
    try:
        secured(certificate, key)
    except UnreadableError as error:
        yield Check(name, "missing", str(error))
        return
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    until, now = found.not_valid_after_utc, datetime.now(UTC)
    if not found.not_valid_before_utc <= now <= until:
        yield Check(name, "missing", tr(
            f"{certificate} is valid from {found.not_valid_before_utc:%Y-%m-%d} to {until:%Y-%m-%d}, not today; make a new one",
            f"{certificate} 的有效期为 {found.not_valid_before_utc:%Y-%m-%d} 至 {until:%Y-%m-%d}，今天无效；请重新生成",
        ))  # fmt: skip
    elif found.issuer == found.subject:
        yield Check(name, "note", tr(
            f"{certificate} is signed by itself: browsers warn once, then give the microphone",
            f"{certificate} 为自签名证书：浏览器会先警告，确认后可用麦克风",
        ))  # fmt: skip
    else:
        yield Check(name, "fine", tr(f"valid until {until:%Y-%m-%d}", f"有效期至 {until:%Y-%m-%d}"))


def _webrtc(ice_servers: list[dict[str, Any]]) -> Iterator[Check]:
    try:
        took, kinds = asyncio.run(_pair(ice_servers))
    except (OSError, ConnectionError, TimeoutError):
        yield Check("WebRTC", "note", tr(
            "two peers on this machine do not find each other over UDP; the page will use the WebSocket",
            "本机两端无法通过 UDP 建立连接；网页将改用 WebSocket",
        ))  # fmt: skip
        return
    yield Check("WebRTC", "fine", tr(f"UDP works on this machine ({took:.1f} s to connect)", f"本机 UDP 正常（连接用时 {took:.1f} 秒）"))
    names = ", ".join(str(server["urls"]) for server in ice_servers)
    turn = [str(server["urls"]) for server in ice_servers if str(server["urls"]).startswith("turn")]
    if turn and "relay" not in kinds:
        yield Check("ICE", "note", tr(
            f"{', '.join(turn)} relays nothing; are name, port, user and password right, and does UDP leave this network?",
            f"{', '.join(turn)} 无法中继；请检查名称、端口、用户名和密码，以及网络是否放行 UDP",
        ))  # fmt: skip
    elif ice_servers and not kinds & {"srflx", "relay"}:
        yield Check("ICE", "note", tr(
            f"{names} gave no address; are name and port right, and does UDP leave this network?",
            f"{names} 没有返回地址；请检查名称和端口，以及网络是否放行 UDP",
        ))  # fmt: skip
    elif ice_servers:
        yield Check("ICE", "fine", tr(f"{names} answers", f"{names} 有响应"))
    else:
        yield Check("ICE", "note", tr(
            "no STUN or TURN server: enough within one network; beyond it name one with --ice, or the page uses the WebSocket",
            "未配置 STUN 或 TURN 服务器：同一网络内足够；跨网络请用 --ice 指定，否则网页改用 WebSocket",
        ))  # fmt: skip


async def _pair(ice_servers: list[dict[str, Any]]) -> tuple[float, set[str]]:
    """Connect two peers; return the seconds that took and the kinds of addresses the first one found."""
    import aiortc

    servers = [aiortc.RTCIceServer(**server) for server in ice_servers]
    one, other = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=servers)), aiortc.RTCPeerConnection()
    open_ = asyncio.Event()
    begin = time.monotonic()
    try:
        one.createDataChannel("look").on("open", open_.set)
        await one.setLocalDescription(await one.createOffer())
        kinds = {line.split(" typ ")[1].split()[0] for line in one.localDescription.sdp.splitlines() if " typ " in line}
        await other.setRemoteDescription(one.localDescription)
        await other.setLocalDescription(await other.createAnswer())
        await one.setRemoteDescription(other.localDescription)
        await asyncio.wait_for(open_.wait(), PATIENCE)
        return time.monotonic() - begin, kinds
    finally:
        await one.close()
        await other.close()


def _encoder() -> Iterator[Check]:
    """See how many pictures of 512×512 a second are encoded as for a browser."""
    import numpy as np

    from huashen.server.socket import Encoder

    name = tr("encoder", "编码器")
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 255, (17, 17, 3), np.uint8).repeat(32, 0).repeat(32, 1)
    images = [np.ascontiguousarray(coarse[k : k + 512, k : k + 512]) for k in range(8)]
    encoder = Encoder(Fraction(25))
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < SECONDS and count < 25 * 8:
        encoder.encode(images[count % len(images)])
        count += 1
    rate = count / (time.monotonic() - begin)
    words = tr(f"H.264, {rate:.0f} pictures of 512×512 a second", f"H.264，每秒 {rate:.0f} 帧 512×512")
    if rate < 30:
        yield Check(
            name,
            "missing",
            words + tr("; live wants 25 and drawing besides: choose a smaller --size", "；实时需要 25 帧并另需绘制：请减小 --size"),
        )
    else:
        yield Check(name, "note" if rate < 60 else "fine", words)


def _ears() -> Iterator[Check]:
    from huashen import registry

    ready = [entry.name for entry in registry.table("asr").entries if not registry.missing(entry)]
    words = (
        tr(f"recognisers here: {', '.join(ready)}", f"可用的识别引擎：{', '.join(ready)}")
        if ready
        else tr("nobody listens", "没有识别引擎")
    )
    yield Check(tr("ears", "识别"), "fine" if ready else "note", words)
