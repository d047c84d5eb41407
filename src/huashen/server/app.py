"""The HTTP service: sessions as a resource, the page, health and numbers.

Routes, all below the address the server was started on:

- `GET /` the page; `GET /healthz`; `GET /metrics` (Prometheus's text format)
- `GET /v1/house` what there is to choose from; `GET /v1/faces/{id}/picture`; `POST /v1/faces?consent=yes` a picture → 201 {id, name, …}
- `POST /v1/sessions` {face?, tts?, voice?, lang?, engine?, driver?, style?, chat?, size?, fps?, background?} → 201 {id, …}; 429
  when all seats are taken; style is the id of a face as whose person the mouth moves
- `GET /v1/sessions/{id}`; `DELETE /v1/sessions/{id}` → 204
- `POST /v1/sessions/{id}/offer` {type: "offer", sdp} → {type: "answer", sdp} (WebRTC)
- `GET /v1/sessions/{id}/stream?video=h264|jpeg` (WebSocket, `socket.py` says what it carries)
- `POST /v1/sessions/{id}/say` {text}, `/ask` {text}, `/hush`, `/express` {name}, `/alive`
- `GET /v1/sessions/{id}/events` (server-sent events)

A session's id is a secret of 128 bits: who has it, has the session. With a token, everything else below /v1 wants
`Authorization: Bearer TOKEN`. Errors are {"error": text} with a status that fits.
"""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from huashen.errors import HuashenError, InputError, MissingError, TooLargeError
from huashen.server.house import House, loopback
from huashen.server.room import BusyError, Room
from huashen.words import speaking, tr

if TYPE_CHECKING:
    from aiohttp import web

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
CHANNEL = "channel"
"""The id of the session that is pushed or recorded. It is no secret, so with a token that is wanted for it too."""
BODY = 200_000
"""Bytes of a request that is no picture."""
AGAIN = 5
"""Seconds after which a client that found all seats taken may ask again."""
LOOK = 1.0
"""Seconds between two looks at who is still there."""
MEDIA = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' ws: wss:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=()",
}

Reply = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class RefusedError(Exception):
    """A request that is answered by a status and a text."""

    def __init__(self, status: int, text: str, after: int | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.after = status, text, after


class Service:
    """The routes and the rooms behind them.

    Args:
        house: what is on offer.
        token: wanted of every request that has no session's id; empty: none.
        hosts: names by which browsers may call this server; empty: any (behind a token).
        channel: makes the session that never ends, whose id is `CHANNEL`; None: there is none.
    """

    def __init__(
        self, house: House, *, token: str = "", hosts: frozenset[str] = frozenset(), channel: Callable[[], Room] | None = None
    ) -> None:
        self.house = house
        self._token = token
        self._hosts = hosts
        self._rooms: dict[str, Room] = {}
        self._channel = channel
        self._opening = 0
        self._shutting = False
        self._counts = {"sessions_total": 0, "refused_total": 0, "requests_total": 0, "errors_total": 0, "vanished_total": 0}
        self._begun = time.monotonic()

    def app(self) -> "web.Application":
        """Return the application, to be run by aiohttp."""
        from aiohttp import web

        @web.middleware
        async def guarded(request: web.Request, handler: Reply) -> web.StreamResponse:
            with speaking(_language(request)):
                return await self._guarded(request, handler)

        app = web.Application(middlewares=[guarded], client_max_size=max(BODY, self.house.limits.upload + 1000))
        app.add_routes([
            web.get("/", self._page), web.get("/healthz", self._health), web.get("/metrics", self._metrics),
            web.get("/v1/house", self._house), web.get("/v1/faces/{id}/picture", self._picture), web.post("/v1/faces", self._upload),
            web.get("/v1/sessions", self._all), web.post("/v1/sessions", self._open),
            web.get("/v1/sessions/{id}", self._show), web.delete("/v1/sessions/{id}", self._close),
            web.post("/v1/sessions/{id}/offer", self._offer), web.get("/v1/sessions/{id}/stream", self._stream),
            web.post("/v1/sessions/{id}/say", self._say), web.post("/v1/sessions/{id}/ask", self._ask),
            web.post("/v1/sessions/{id}/hush", self._hush), web.post("/v1/sessions/{id}/express", self._express),
            web.post("/v1/sessions/{id}/alive", self._alive), web.get("/v1/sessions/{id}/events", self._events),
            web.get("/{name}", self._file),
        ])  # fmt: skip
        app.cleanup_ctx.append(self._kept)
        app.on_shutdown.append(self._shut)
        return app

    # ------------------------------------------------------------ at the door

    async def _guarded(self, request: "web.Request", answer: Reply) -> "web.StreamResponse":
        from aiohttp import web

        self._counts["requests_total"] += 1
        try:
            self._admit(request)
            response = await answer(request)
        except RefusedError as refusal:
            headers = {"Retry-After": str(refusal.after)} if refusal.after is not None else {}
            response = web.json_response({"error": refusal.text}, status=refusal.status, headers=headers)
        except BusyError as error:
            response = web.json_response({"error": str(error)}, status=429, headers={"Retry-After": str(AGAIN)})
        except TooLargeError as error:
            response = web.json_response({"error": str(error)}, status=413)
        except InputError as error:
            response = web.json_response({"error": str(error)}, status=400)
        except MissingError as error:
            response = web.json_response({"error": str(error)}, status=501)
        except HuashenError as error:
            self._counts["errors_total"] += 1
            response = web.json_response({"error": str(error)}, status=500)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = web.json_response({"error": error.reason}, status=error.status)
        except (asyncio.CancelledError, ConnectionResetError):
            raise
        except Exception:
            self._counts["errors_total"] += 1
            logger.exception("a request failed")
            response = web.json_response({"error": tr("something unforeseen happened", "发生了意外错误")}, status=500)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _admit(self, request: "web.Request") -> None:
        """Let a request pass, or refuse it: other sites' pages, and who lacks the token."""
        host = urlsplit(f"//{request.host}").hostname or ""
        if self._hosts and host not in self._hosts:  # a foreign name that leads here (DNS rebinding)
            raise RefusedError(403, tr(f"this server does not answer to the name '{host}'", f"此服务器不使用名称“{host}”"))
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:  # "null" is a sandboxed frame of anybody's
            raise RefusedError(403, tr("requests from other sites' pages are refused", "拒绝来自其他网站页面的请求"))
        path = request.path
        if not self._token or not (path.startswith("/v1/") or path == "/metrics"):
            return
        if path.startswith("/v1/sessions/") and path.split("/")[3] in self._rooms and path.split("/")[3] != CHANNEL:
            return
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise RefusedError(401, tr("this needs the server's token: Authorization: Bearer …", "需要服务器令牌：Authorization: Bearer …"))

    def _room(self, request: "web.Request", *, counted: bool = True) -> Room:
        room = self._rooms.get(request.match_info["id"])
        if room is None:
            raise RefusedError(404, tr("there is no such session; it may have ended", "没有此会话；可能已结束"))
        if counted and not room.allowed():
            raise RefusedError(429, tr("too many requests to this session", "对此会话的请求过多"), 2)
        room.renew()
        return room

    async def _json(self, request: "web.Request") -> dict[str, Any]:
        if (request.content_length or 0) > BODY:
            raise RefusedError(413, tr(f"the request is larger than {BODY} bytes", f"请求超过 {BODY} 字节"))
        try:
            value = json.loads(await request.text() or "{}")
        except (ValueError, RecursionError) as error:  # a text of other than UTF-8 is a ValueError too
            raise RefusedError(400, tr("the request's body is no JSON", "请求内容不是 JSON")) from error
        if not isinstance(value, dict):
            raise RefusedError(400, tr("the request's body must be a JSON object", "请求内容须为 JSON 对象"))
        return value

    async def _words(self, request: "web.Request") -> str:
        text = (await self._json(request)).get("text")
        if not isinstance(text, str) or not text.strip():
            raise RefusedError(400, tr('give a text: {"text": "…"}', '请给出文本：{"text": "…"}'))
        if len(text) > self.house.limits.text:
            most, given = self.house.limits.text, len(text)
            raise RefusedError(413, tr(f"a text has {most} characters at most, not {given}", f"文本最多 {most} 个字符，不能有 {given} 个"))
        return text

    # ------------------------------------------------------------ the page and the house

    async def _page(self, request: "web.Request") -> "web.StreamResponse":
        return self._static("index.html")

    async def _file(self, request: "web.Request") -> "web.StreamResponse":
        return self._static(request.match_info["name"])

    def _static(self, name: str) -> "web.Response":
        from aiohttp import web

        files = {path.name: path for path in PAGE.iterdir() if path.suffix in MEDIA}
        if name not in files:
            raise RefusedError(404, tr("there is nothing here", "这里什么也没有"))
        headers = {"Cache-Control": "no-cache"}
        return web.Response(body=files[name].read_bytes(), content_type=MEDIA[files[name].suffix], charset="utf-8", headers=headers)

    async def _health(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        return web.json_response({"status": "ok", "sessions": len(self._rooms), "seats": self.house.limits.sessions})

    async def _metrics(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        rows: list[tuple[str, str, float]] = [("sessions", "gauge", len(self._rooms)), ("seats", "gauge", self.house.limits.sessions)]
        rows += [("uptime_seconds", "gauge", round(time.monotonic() - self._begun, 1))]
        rows += [(name, "counter", value) for name, value in self._counts.items()]
        totals: dict[str, float] = {}
        for room in self._rooms.values():
            for name, value in room.numbers().items():
                totals[name] = totals.get(name, 0) + value
        for k, condition in enumerate(output.condition() for room in self._rooms.values() for output in room.outputs):
            rows += [(f'output_{name}{{output="{k}"}}', "counter", float(getattr(condition, name)))
                     for name in ("frames", "dropped", "connections", "bytes")]  # fmt: skip
        rows += [(f"live_{name}", "gauge", round(value, 3)) for name, value in sorted(totals.items())]
        lines = [f"# TYPE huashen_{name.partition('{')[0]} {kind}\nhuashen_{name} {value}" for name, kind, value in rows]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain", charset="utf-8")

    async def _house(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        return web.json_response(await asyncio.to_thread(self.house.values))

    async def _picture(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        seen = self.house.face(request.match_info["id"])
        contents = await asyncio.to_thread(self.house.thumbnail, seen)
        return web.Response(body=contents, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def _upload(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        if request.query.get("consent") != "yes":
            raise RefusedError(400, tr(
                "say that the person in the picture agreed: POST /v1/faces?consent=yes",
                "请声明已征得图中人的同意：POST /v1/faces?consent=yes",
            ))  # fmt: skip
        if (request.content_length or 0) > self.house.limits.upload:
            most = self.house.limits.upload // 1_000_000
            raise RefusedError(413, tr(f"the picture is larger than {most} MB; send a smaller one", f"图片超过 {most} MB；请换一张较小的"))
        contents = await request.read()
        seen = await asyncio.to_thread(self.house.upload, contents)
        return web.json_response(self.house.described(seen), status=201)

    # ------------------------------------------------------------ sessions

    async def _all(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        return web.json_response([room.values(secret=False) for room in self._rooms.values()])

    async def _open(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        wish = await self._json(request)
        if len(self._rooms) + self._opening >= self.house.limits.sessions:
            self._counts["refused_total"] += 1
            raise RefusedError(429, tr(
                f"all {self.house.limits.sessions} seats are taken; try again in {AGAIN} s",
                f"{self.house.limits.sessions} 个席位已满；请 {AGAIN} 秒后重试",
            ), AGAIN)  # fmt: skip
        self._opening += 1
        try:
            room = await asyncio.to_thread(Room, self.house, wish)
        finally:
            self._opening -= 1
        if self._shutting:
            await room.close()
            raise RefusedError(503, tr("the server is being shut down", "服务器正在关闭"), AGAIN)
        self._rooms[room.id] = room
        self._counts["sessions_total"] += 1
        room.begin()
        return web.json_response(room.values(secret=True), status=201, headers={"Location": f"/v1/sessions/{room.id}"})

    async def _show(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        return web.json_response(self._room(request).values(secret=True))

    async def _close(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        await self._end(self._room(request, counted=False))  # a session can always be ended
        return web.Response(status=204)

    async def _end(self, room: Room) -> None:
        if self._rooms.pop(room.id, None) is not None:
            await room.close()

    async def _offer(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        from huashen.server.webrtc import Peer

        room = self._room(request)
        offer = await self._json(request)
        if offer.get("type") != "offer" or not isinstance(offer.get("sdp"), str):
            raise RefusedError(400, tr('give an offer: {"type": "offer", "sdp": "…"}', '请给出 offer：{"type": "offer", "sdp": "…"}'))
        await room.only(None)  # one viewer a session: coming again takes the place of the one before
        peer = Peer(room, self.house.ice_servers)
        return web.json_response({"type": "answer", "sdp": await peer.answer(offer["sdp"])})

    async def _stream(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        from huashen.server.socket import MAX_MESSAGE, Viewer

        room = self._room(request)
        video = request.query.get("video", "h264")
        if video not in ("h264", "jpeg"):
            raise RefusedError(400, tr("video is h264 or jpeg", "video 可取 h264 或 jpeg"))
        socket = web.WebSocketResponse(heartbeat=3.0, max_msg_size=MAX_MESSAGE, compress=False)
        await socket.prepare(request)
        await room.only(None)
        await Viewer(room, video).serve(socket)  # type: ignore[arg-type]
        return socket

    async def _say(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        room = self._room(request)
        text = await self._words(request)
        return web.json_response({"id": await asyncio.to_thread(room.say, text)}, status=202)

    async def _ask(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        room = self._room(request)
        text = await self._words(request)
        return web.json_response({"id": await asyncio.to_thread(room.ask, text)}, status=202)

    async def _hush(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        room = self._room(request)
        return web.json_response({"heard": await asyncio.to_thread(room.hush)})

    async def _express(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        room = self._room(request)
        name = (await self._json(request)).get("name")
        if not isinstance(name, str):
            raise RefusedError(400, tr('give a name: {"name": "smile"}', '请给出名称：{"name": "smile"}'))
        room.express(name)
        return web.json_response({}, status=202)

    async def _alive(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        self._room(request)
        return web.Response(status=204)

    async def _events(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        room = self._room(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", **HEADERS})
        await response.prepare(request)
        waiting: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(1000)
        loop = asyncio.get_running_loop()

        def take(event: dict[str, Any]) -> None:
            if not waiting.full():  # a listener that reads nothing misses what it did not read
                waiting.put_nowait(event)

        def pass_on(event: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(take, event)

        stop = room.subscribe(pass_on)
        try:
            while room.id in self._rooms:
                try:
                    event = await asyncio.wait_for(waiting.get(), 3)
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                assert event is not None
                await response.write(f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode())
                if event["type"] == "closed":
                    break
        finally:
            stop()
        return response

    # ------------------------------------------------------------ keeping house

    async def _kept(self, app: "web.Application") -> AsyncIterator[None]:
        if self._channel is not None:
            room = self._rooms[CHANNEL] = await asyncio.to_thread(self._channel)
            room.begin()
        task = asyncio.create_task(self._watch())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for seen in list(self.house.faces):
            self.house.forget(seen)

    async def _shut(self, app: "web.Application") -> None:
        """End the sessions while those who listen to them are still connected, so that they are told."""
        self._shutting = True
        for room in list(self._rooms.values()):
            await self._end(room)

    async def _watch(self) -> None:
        """End sessions that nobody sees any more, or that have lasted too long; forget pictures that nobody uses."""
        limits = self.house.limits
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            for room in list(self._rooms.values()):
                for viewer in list(room.viewers):
                    if await viewer.alive():
                        room.renew()
                if room.outputs and room.failed is None:
                    continue  # a channel goes on whether anybody looks or not
                if now - room.renewed > limits.lease or room.failed is not None or now - room.begun > limits.hours * 3600:
                    self._counts["vanished_total"] += now - room.renewed > limits.lease
                    self._counts["errors_total"] += room.failed is not None
                    await self._end(room)
            used = {room.face.id for room in self._rooms.values()}
            for seen in list(self.house.faces):
                if seen.uploaded and seen.id not in used and now - seen.uploaded > 600:
                    await asyncio.to_thread(self.house.forget, seen)


def _language(request: "web.Request") -> Literal["en", "zh"] | None:
    """Return the language a client asks for, None where it asks for none of ours."""
    first = request.headers.get("Accept-Language", "").strip().lower()[:2]
    return "zh" if first == "zh" else "en" if first == "en" else None


def hosts_for(address: str, *, token: str) -> frozenset[str]:
    """Return the names by which browsers may call a server that listens at an address."""
    if loopback(address) and not token:
        return frozenset({"localhost", "127.0.0.1", "::1", address})
    return frozenset()
