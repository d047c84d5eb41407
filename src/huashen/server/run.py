"""Running the service: where it listens, its token, and its orderly end."""

import asyncio
import ctypes
import signal
import ssl
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from pathlib import Path

from huashen.errors import InputError, OutputError, UnreadableError
from huashen.server.app import Service, hosts_for
from huashen.server.house import House, loopback
from huashen.server.room import Room
from huashen.words import tr

GRACE = 3.0
"""Seconds that requests in progress have at the end."""
_ARENA_MAX = -8
"""glibc's M_ARENA_MAX."""


def serve(
    house: House,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str = "",
    certificate: Path | None = None,
    key: Path | None = None,
    ready: Callable[[str], None] | None = None,
    until: Callable[[], bool] | None = None,
    channel: Callable[[House], Room] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM comes; sessions end in order, uploaded pictures are deleted.

    Args:
        house: what is on offer.
        host, port: where to listen; port 0 takes a free one.
        token: wanted of clients; must be given where others than this machine can reach the server.
        certificate, key: PEM files; with them it speaks https, which browsers want for the microphone beyond localhost.
        ready: called with the address once it answers, the token as its fragment.
        channel: makes the session that never ends, see `app.CHANNEL`.
        until: asked four times a second; the service ends when it returns true.

    Raises:
        InputError: other machines can reach it, and there is no token.
        OutputError: the port is taken, or may not be listened on.
        UnreadableError: certificate or key cannot be used.
    """
    if not loopback(host) and not token:
        raise InputError(tr(
            f"{host} can be reached by others: give a token with --token", f"{host} 可被其他机器访问：请用 --token 指定访问令牌"
        ))  # fmt: skip
    few_arenas()
    secure = secured(certificate, key)
    with tempfile.TemporaryDirectory(prefix="huashen-") as folder:
        home = copy(house)  # with the faces that are prepared already
        home.faces, home.folder = list(house.faces), Path(folder) if house.folder is not None else None
        made = None if channel is None else lambda: channel(home)
        service = Service(home, token=token, hosts=hosts_for(host, token=token), channel=made)
        asyncio.run(_serve(service, host, port, token, secure, ready, until))


def few_arenas() -> None:
    """Let glibc, where that is what gives memory, do with two arenas for whatever threads begin from now on.

    It has up to eight a processor, and threads that come and go (a voice's, a clip's) leave holes of a picture's size in each.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)


async def _serve(
    service: Service, host: str, port: int, token: str, secure: ssl.SSLContext | None, ready: Callable[[str], None] | None,
    until: Callable[[], bool] | None,
) -> None:  # fmt: skip
    from aiohttp import web

    runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=GRACE)
    await runner.setup()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread: Ctrl-C raises there
            loop.add_signal_handler(number, stop.set)
    try:
        site = web.TCPSite(runner, host, port, ssl_context=secure, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(tr(
                f"cannot listen on {host}:{port} ({reason}); choose another port with --port",
                f"无法监听 {host}:{port}（{reason}）；请用 --port 换一个端口",
            )) from error  # fmt: skip
        bound = runner.addresses[0][1]
        if ready is not None:
            shown = "localhost" if loopback(host) else f"[{host}]" if ":" in host else host
            ready(f"{'https' if secure else 'http'}://{shown}:{bound}/" + (f"#token={token}" if token else ""))
        while not stop.is_set() and not (until is not None and until()):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.25)
    finally:
        await runner.cleanup()


def secured(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what speaks https; None without a certificate.

    Raises:
        UnreadableError: certificate or key cannot be used.
    """
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UnreadableError(tr(
            f"the certificate {certificate} cannot be used ({error}); give PEM files with --certificate and --key",
            f"证书 {certificate} 无法使用（{error}）；请用 --certificate 和 --key 给出 PEM 文件",
        )) from error  # fmt: skip
    return context
