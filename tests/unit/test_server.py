"""The service over HTTP, WebSocket and WebRTC: who gets in, what is told to whom, and what arrives at the receiver, when."""

import asyncio
import ctypes
import itertools
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import httpx
import numpy as np
import pytest

import toy_live
from huashen import media
from huashen.chat.faq import Faq
from huashen.errors import InputError
from huashen.server import run
from huashen.types import Audio, Frame, Video
from toy_live import house, served

SHOP = "# Returns\n\nTea may be sent back within thirty days of buying it.\n\n# Opening\n\nThe shop opens at nine in the morning.\n"


@pytest.fixture(scope="module")
def toys() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    toy_live.install(patch)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def server(toys: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the toys and a few documents; tests close what they open."""
    docs = tmp_path_factory.mktemp("docs")
    (docs / "shop.md").write_text(SHOP)
    with served(house(chats={"faq": Faq(documents=docs)})) as address:
        yield address


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=60) as found:
        yield found
        assert found.get("/healthz").json()["sessions"] == 0, "the test left a session"


def opened(client: httpx.Client, **wish: Any) -> str:
    reply = client.post("/v1/sessions", json=wish)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def told(reply: httpx.Response, status: int) -> str:
    """Return the text of a refusal, which is one line."""
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert error
    assert "\n" not in error
    return str(error)


class Listener:
    """Reads a session's events in a thread."""

    def __init__(self, address: str, id: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self.over = threading.Event()
        self._begun = threading.Event()
        threading.Thread(target=self._read, args=(f"{address}/v1/sessions/{id}/events",), daemon=True).start()
        assert self._begun.wait(60)

    def _read(self, address: str) -> None:
        with suppress(httpx.HTTPError), httpx.stream("GET", address, timeout=60) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            self._begun.set()
            for line in reply.iter_lines():
                if line.startswith("data: "):
                    with self._news:
                        self.events.append(json.loads(line[6:]))
                        self._news.notify_all()
        self.over.set()

    def wait(self, kind: str, *, seconds: float = 60, **more: Any) -> dict[str, Any]:
        """Return the first event of that kind and values."""

        def found() -> dict[str, Any] | None:
            return next((e for e in self.events if e["type"] == kind and all(e.get(k) == v for k, v in more.items())), None)

        with self._news:
            assert self._news.wait_for(lambda: found() is not None, seconds), (kind, more, self.events[-8:])
            event = found()
        assert event is not None
        return event


# ---------------------------------------------------------------- sessions as a resource


def test_a_session_is_made_shown_and_deleted(client: httpx.Client) -> None:
    reply = client.post("/v1/sessions", json={"face": "f1"})
    assert reply.status_code == 201
    made = reply.json()
    assert reply.headers["location"] == f"/v1/sessions/{made['id']}"
    assert made["face"] == "blue"
    assert made["size"] == [128, 128]
    assert made["fps"] == "25"
    assert made["rate"] == 16000
    assert len(made["id"]) >= 22, "128 bits"
    assert "smile" in made["gestures"]
    assert client.get(f"/v1/sessions/{made['id']}").json()["face"] == "blue"
    assert made["id"] not in client.get("/v1/sessions").text
    assert client.delete(f"/v1/sessions/{made['id']}").status_code == 204
    told(client.get(f"/v1/sessions/{made['id']}"), 404)
    told(client.delete(f"/v1/sessions/{made['id']}"), 404)


def test_twenty_too_many_are_turned_away_and_a_freed_seat_is_taken(client: httpx.Client) -> None:
    async def rush() -> list[tuple[int, str, dict[str, Any]]]:
        async with aiohttp.ClientSession() as http:

            async def one() -> tuple[int, str, dict[str, Any]]:
                async with http.post(f"{client.base_url}/v1/sessions", json={}) as reply:
                    return reply.status, reply.headers.get("Retry-After", ""), await reply.json()

            return await asyncio.gather(*(one() for _ in range(23)))

    found = asyncio.run(rush())
    taken = [value["id"] for status, _, value in found if status == 201]
    refused = [(after, value) for status, after, value in found if status == 429]
    assert len(taken) == 3 == len(set(taken))
    assert len(refused) == 20
    assert all(int(after) >= 1 and "seats are taken" in value["error"] for after, value in refused)
    assert client.delete(f"/v1/sessions/{taken.pop()}").status_code == 204
    taken.append(opened(client))
    for id in taken:
        assert client.delete(f"/v1/sessions/{id}").status_code == 204


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"face": "f9"}, "no face"), ({"tts": "nobody"}, "nobody"), ({"size": "100x100"}, "128 to 1280"), ({"size": 4000}, "128 to 1280"),
        ({"fps": 120}, "10 to 30"), ({"secret": 1}, "secret"), ({"chat": "openai"}, "chat"), ({"face": ["f0"]}, "face"),
        ({"background": "x" * 300}, "background"), ({"tts": 5}, "tts"), ({"style": "f9"}, "no face"),
        ({"style": "f1"}, "'f1' tells no style"), ({"size": "abc"}, "abc"), ({"fps": "many"}, "many"),
    ],
)  # fmt: skip
def test_wishes_that_cannot_be_met_are_refused_in_a_line(client: httpx.Client, wish: dict[str, Any], word: str) -> None:
    assert word in told(client.post("/v1/sessions", json=wish), 400)


# ---------------------------------------------------------------- what is asked of a session


def test_what_is_said_is_told_as_it_happens(client: httpx.Client, server: str) -> None:
    id = opened(client, chat="none")
    events = Listener(server, id)
    reply = client.post(f"/v1/sessions/{id}/say", json={"text": "One two. Three [nod] four."})
    assert reply.status_code == 202
    number = reply.json()["id"]
    events.wait("answer", id=number)
    events.wait("state", value="speaking")
    assert events.wait("sentence", id=number)["text"] == "One two."
    timings = events.wait("timings")
    assert timings["total"] > 0
    word = events.wait("word", id=number, begin=4)
    assert word["sentence"][word["begin"] : word["end"]] == "two."
    events.wait("gesture", name="nod")
    assert "Three" in events.wait("ended", id=number)["heard"]
    events.wait("state", value="idle")
    assert client.post(f"/v1/sessions/{id}/express", json={"name": "smile"}).status_code == 202
    events.wait("gesture", name="smile")
    assert "smile" in told(client.post(f"/v1/sessions/{id}/express", json={"name": "fly"}), 400)
    assert client.post(f"/v1/sessions/{id}/alive").status_code == 204
    client.delete(f"/v1/sessions/{id}")
    events.wait("closed")
    assert events.over.wait(60), "the stream of events ends with the session"


def test_a_clip_for_a_gesture_is_shown_where_an_answer_has_it(toys: None, tmp_path: Path) -> None:
    clip = tmp_path / "wave.mp4"
    frames = (Frame(np.full((16, 16, 3), 99, np.uint8), Audio(np.zeros(0, np.float32), 0), k) for k in range(8))
    media.write_video(Video(frames, Fraction(25), (16, 16), 0), clip)
    with served(house(gestures={"挥手": clip})) as address, httpx.Client(base_url=address, timeout=60) as client:
        made = client.post("/v1/sessions", json={"chat": "none"}).json()
        assert "wave" in made["gestures"]
        events = Listener(address, made["id"])
        number = client.post(f"/v1/sessions/{made['id']}/ask", json={"text": "one two [wave] three"}).json()["id"]
        assert events.wait("ended", id=number)["heard"] == "one two three"
        kinds = [e["type"] for e in events.events if e["type"] in ("sentence", "gesture")]
        assert kinds == ["sentence", "gesture", "sentence"]
        client.post(f"/v1/sessions/{made['id']}/express", json={"name": "wave"})
        events.wait("ended", id=number + 1)


def test_a_question_is_answered_from_the_documents_with_its_source(client: httpx.Client, server: str) -> None:
    id = opened(client)
    events = Listener(server, id)
    number = client.post(f"/v1/sessions/{id}/ask", json={"text": "When may tea be sent back?"}).json()["id"]
    events.wait("ended", id=number)
    answer = "".join(e["text"] for e in events.events if e["type"] == "answer")
    assert "thirty days" in answer
    assert any("shop.md" in source for e in events.events for source in e.get("sources", ()))
    client.delete(f"/v1/sessions/{id}")


def test_hush_forgets_all_that_waits(client: httpx.Client, server: str) -> None:
    id = opened(client, chat="none")
    events = Listener(server, id)
    first = client.post(f"/v1/sessions/{id}/say", json={"text": "one two three four five six seven eight " * 5}).json()["id"]
    second = client.post(f"/v1/sessions/{id}/say", json={"text": "never heard"}).json()["id"]
    events.wait("word", id=first, begin=4)
    heard = client.post(f"/v1/sessions/{id}/hush").json()["heard"]
    assert heard.startswith("one")
    assert heard.count("eight") < 5
    assert events.wait("hushed", id=first)["heard"] == heard.strip()
    events.wait("hushed", id=second)
    assert not any(e["type"] == "started" and e["id"] == second for e in events.events)
    client.delete(f"/v1/sessions/{id}")


def test_many_threads_may_ask_and_hush_at_once(client: httpx.Client, server: str) -> None:
    id = opened(client)
    events = Listener(server, id)

    def work(k: int) -> None:
        with httpx.Client(base_url=server, timeout=60) as mine:
            for _ in range(4):
                path, body = (("hush", {}), ("ask", {"text": "When does the shop open?"}))[k % 2]
                assert mine.post(f"/v1/sessions/{id}/{path}", json=body).status_code in (200, 202)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    last = client.post(f"/v1/sessions/{id}/ask", json={"text": "When does the shop open?"}).json()["id"]
    events.wait("ended", id=last)
    assert client.get(f"/v1/sessions/{id}").json()["waiting"] == 0
    assert not [e for e in events.events if e["type"] == "error"]
    client.delete(f"/v1/sessions/{id}")


# ---------------------------------------------------------------- isolation


def test_sessions_hear_nothing_of_each_other(client: httpx.Client, server: str) -> None:
    one, two = opened(client, face="f0", chat="none"), opened(client, face="f1", chat="none")
    mine, theirs = Listener(server, one), Listener(server, two)
    number = client.post(f"/v1/sessions/{one}/say", json={"text": "secret words"}).json()["id"]
    mine.wait("ended", id=number)
    assert not [e for e in theirs.events if e["type"] != "state"]
    assert "secret" not in client.get(f"/v1/sessions/{two}").text
    assert one not in json.dumps(theirs.events)
    assert one not in client.get("/v1/sessions").text + client.get("/metrics").text
    for id in (one, two):
        client.delete(f"/v1/sessions/{id}")


def test_uploaded_pictures_are_not_listed_and_are_deleted(toys: None) -> None:
    home = house(limits={"uploads": 2, "upload": 5000})
    with served(home) as address, httpx.Client(base_url=address, timeout=60) as client:
        reply = client.post("/v1/faces?consent=yes", content=b"a picture")
        assert reply.status_code == 201
        id = reply.json()["id"]
        assert client.get(f"/v1/faces/{id}/picture").headers["content-type"] == "image/jpeg"
        assert id not in client.get("/v1/house").text
        session = opened(client, face=id)
        assert "no face" in told(client.post("/v1/faces?consent=yes", content=b"faceless"), 400)
        assert told(client.post("/v1/faces?consent=yes", content=b"x" * 5001), 413)
        assert told(client.post("/v1/faces?consent=yes", content=iter([b"x" * 3000, b"x" * 3001])), 413)
        assert client.post("/v1/faces?consent=yes", content=b"another").status_code == 201
        assert "too many" in told(client.post("/v1/faces?consent=yes", content=b"third"), 413)
        assert "agreed" in told(client.post("/v1/faces", content=b"a picture"), 400)
        folder = {path.parent for path in Path("/tmp").glob("huashen-*/u*")}
        assert folder
        client.delete(f"/v1/sessions/{session}")
    assert not any(place.exists() for place in folder), "the folder is gone with the server"


# ---------------------------------------------------------------- who gets in


def test_beyond_this_machine_a_token_is_wanted(toys: None) -> None:
    with pytest.raises(InputError, match="token"):
        run.serve(house(), host="0.0.0.0", port=0)
    with served(house(), host="0.0.0.0", token="word") as address, httpx.Client(base_url=address, timeout=60) as client:
        assert client.get("/").status_code == 200
        assert client.get("/app.js").status_code == 200
        assert client.get("/healthz").status_code == 200
        for path in ("/v1/house", "/v1/sessions", "/metrics", "/v1/faces/f0/picture", "/v1/sessions/" + "A" * 22):
            assert "token" in told(client.get(path), 401)
        assert "token" in told(client.post("/v1/sessions", json={}, headers={"Authorization": "Bearer wrong"}), 401)
        assert "token" in told(client.post("/v1/sessions", json={}, headers={"Authorization": "Bearer wörd".encode()}), 401)
        id = client.post("/v1/sessions", json={}, headers={"Authorization": "Bearer word"}).json()["id"]
        assert client.get(f"/v1/sessions/{id}").status_code == 200, "who knows the id has the session"
        assert client.delete(f"/v1/sessions/{id}").status_code == 204


def test_other_sites_pages_and_foreign_names_are_refused(client: httpx.Client) -> None:
    assert "other sites" in told(client.post("/v1/sessions", json={}, headers={"Origin": "https://evil.example"}), 403)
    assert "evil.example" in told(client.get("/v1/house", headers={"Host": "evil.example"}), 403)
    assert client.get("/v1/house", headers={"Origin": str(client.base_url).rstrip("/")}).status_code == 200
    page = client.get("/")
    assert "frame-ancestors" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    for path in ("/../app.py", "/%2e%2e%2fapp.py", "/nothing.js", "/v1/nothing"):
        assert client.get(path).status_code == 404


def test_a_page_of_unknown_origin_is_refused_where_it_changes_something(client: httpx.Client) -> None:
    """A sandboxed frame of any site sends "null"."""
    assert "other sites" in told(client.post("/v1/sessions", json={}, headers={"Origin": "null"}), 403)


# ---------------------------------------------------------------- limits and nonsense


def test_limits_are_told_in_a_line(toys: None) -> None:
    with served(house(limits={"text": 50, "waiting": 2, "requests": 12})) as address, httpx.Client(base_url=address, timeout=60) as client:
        id = opened(client, chat="none")
        assert "50" in told(client.post(f"/v1/sessions/{id}/say", json={"text": "x" * 51}), 413)
        for _ in range(2):
            assert client.post(f"/v1/sessions/{id}/say", json={"text": "one two three four five six"}).status_code == 202
        assert "wait" in told(client.post(f"/v1/sessions/{id}/say", json={"text": "one more"}), 429)
        assert told(client.post(f"/v1/sessions/{id}/say", content=b'{"text": "' + b"x" * 300_000 + b'"}'), 413)
        while (reply := client.post(f"/v1/sessions/{id}/alive")).status_code == 204:
            pass
        assert "too many requests" in told(reply, 429)
        assert int(reply.headers["retry-after"]) >= 1
        assert client.delete(f"/v1/sessions/{id}").status_code == 204, "a session can always be ended"


def test_malformed_requests_get_400(client: httpx.Client) -> None:
    id = opened(client)
    for path in ("say", "ask", "express", "offer"):
        for body in (b"", b"{", b"[]", b"1", b"\xff\xfe", b'{"text": 5}', b'{"text": " "}', b'{"type": "offer", "sdp": 5}', b"[" * 90_000):
            told(client.post(f"/v1/sessions/{id}/{path}", content=body), 400)
    told(client.post("/v1/sessions", content=b"{"), 400)
    client.delete(f"/v1/sessions/{id}")


def test_malformed_offers_get_400(client: httpx.Client) -> None:
    id = opened(client)
    good = asyncio.run(_offer())
    for sdp in ("", "v=0", "x" * 1000, good[:200], good.replace("a=ice-ufrag", "a=x"), good.replace("a=fingerprint", "a=x"),
                good.replace("a=mid:0", "a=mid:7"), good.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
                good.replace("a=rtpmap", "a=x")):  # fmt: skip
        reply = client.post(f"/v1/sessions/{id}/offer", json={"type": "offer", "sdp": sdp})
        if reply.status_code != 200:  # aiortc can answer some of them
            assert "offer" in told(reply, 400)
    client.delete(f"/v1/sessions/{id}")


async def _offer() -> str:
    import aiortc

    peer = aiortc.RTCPeerConnection()
    peer.addTransceiver("video", direction="recvonly")
    peer.addTransceiver("audio", direction="sendrecv")
    await peer.setLocalDescription(await peer.createOffer())
    sdp = peer.localDescription.sdp
    await peer.close()
    return sdp


def test_metrics_can_be_parsed(client: httpx.Client) -> None:
    id = opened(client)
    text = client.get("/metrics").text
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# TYPE [a-z_]+ (gauge|counter)", line)
        else:
            name, value = re.fullmatch(r"([a-z_]+(?:\{[a-z]+=\"[^\"]*\"\})?) ([-\d.e+]+)", line).groups()  # type: ignore[union-attr]
            found[name] = float(value)
    assert found["huashen_sessions"] == 1
    assert found["huashen_seats"] == 3
    assert found["huashen_sessions_total"] >= 1
    assert found["huashen_live_frames"] >= 0
    assert client.get("/healthz").json() == {"status": "ok", "sessions": 1, "seats": 3}
    client.delete(f"/v1/sessions/{id}")


def test_the_house_tells_what_there_is(client: httpx.Client) -> None:
    found = client.get("/v1/house").json()
    assert [face["name"] for face in found["faces"]] == ["red", "blue"]
    toy = {"name": "tones", "about": "toy", "licence": "Apache-2.0", "default": True, "missing": None, "voices": ["high", "low"]}
    assert found["tts"][0] == toy
    assert [engine["name"] for engine in found["engines"]][:2] == ["flash", "puppet"]


# ---------------------------------------------------------------- over a WebSocket


async def stream(
    address: str, id: str, *, video: str = "h264", enough: Callable[[list[tuple[float, Any]]], bool], then: Any = None
) -> list[tuple[float, Any]]:
    """Return what comes until it is enough or the connection ends, with its moment; `then` is called with the socket at the beginning."""
    found: list[tuple[float, Any]] = []
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{address}/v1/sessions/{id}/stream?video={video}") as ws,
        asyncio.timeout(60),
    ):
        if then is not None:
            await then(http, ws)
        while not enough(found):
            message = await ws.receive()
            if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING):
                break
            found.append((time.monotonic(), message.data))
    return found


def parts(
    found: list[tuple[float, Any]],
) -> tuple[list[tuple[float, float, bytes]], list[tuple[float, float, int, bytes]], list[dict[str, Any]]]:
    """Return sound (arrival, moment, samples), pictures (arrival, moment, kind, contents) and events."""
    sound, pictures, events = [], [], []
    for when, data in found:
        if isinstance(data, str):
            events.append(json.loads(data))
            continue
        kind, at = struct.unpack_from("<Bd", data)
        if kind == 1:
            sound.append((when, at, data[9:]))
        else:
            pictures.append((when, at, kind, data[9:]))
    return sound, pictures, events


def flashes(pictures: list[tuple[float, bool]], loud: list[tuple[float, bool]]) -> list[float]:
    """Return by how many seconds each flash begins after its tone (rising edges, each with its nearest)."""

    def rises(rows: list[tuple[float, bool]]) -> list[float]:
        return [b[0] for a, b in itertools.pairwise(rows) if b[1] and not a[1]]

    tones = rises(loud)
    return [min((seen - tone for tone in tones), key=abs) for seen in rises(pictures)] if tones else []


def is_loud(samples: np.ndarray) -> bool:
    return float(np.sqrt(np.mean(samples.astype(np.float32) ** 2))) > toy_live.LOUD * 32768


@pytest.mark.parametrize("video", ["h264", "jpeg"])
def test_sound_and_pictures_come_over_a_websocket_in_step_and_stop_when_hushed(client: httpx.Client, server: str, video: str) -> None:
    """Moments are those of the session's timeline, so a slow machine changes nothing; benchmarks/server.py measures by the clock."""
    id = opened(client, chat="none")
    hushing: list[asyncio.Task[Any]] = []
    asked: list[Any] = []

    async def talk(http: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        asked.append(http)
        await ws.send_str(json.dumps({"type": "ping", "at": 7}))
        await http.post(f"{server}/v1/sessions/{id}/say", json={"text": "one - three - five - seven - " + "word " * 60})

    def enough(found: list[tuple[float, Any]]) -> bool:
        sound, pictures, events = parts(found[-400:])
        told = next((e for e in events if e["type"] == "hushed"), None)
        if told is None:  # it is hushed once the last word, which is long, is heard
            words = [e for _, data in found[-3:] if isinstance(data, str) for e in [json.loads(data)] if e["type"] == "word"]
            if not hushing and any(e["begin"] > 30 for e in words):
                hushing.append(asyncio.ensure_future(asked[0].post(f"{server}/v1/sessions/{id}/hush")))
            return False
        return sound[-1][1] > told["at"] + 0.7 and pictures[-1][1] > told["at"] + 0.5

    sound, pictures, events = parts(asyncio.run(stream(server, id, video=video, enough=enough, then=talk)))
    client.delete(f"/v1/sessions/{id}")
    assert any(e == {"type": "pong", "at": 7} for e in events)
    hushed = next(e for e in events if e["type"] == "hushed")
    moments = [at for _, at, _ in sound]
    assert np.allclose(np.diff(moments), 0.04), "no sound is missing"
    loud = [(at, is_loud(np.frombuffer(data, "<i2"))) for _, at, data in sound]
    shown: list[tuple[float, bool]] = []
    decoder = av.CodecContext.create("h264" if video == "h264" else "mjpeg", "r")
    for _, at, kind, data in pictures:
        assert kind in ((3, 4) if video == "h264" else (2,))
        shown += [(at, float(frame.to_ndarray(format="gray").mean()) > 150) for frame in decoder.decode(av.Packet(data))]
    apart = flashes(shown, loud)
    assert len(apart) >= 2
    assert float(np.median(np.abs(apart))) <= 0.045, "by the moments on which the page shows them"
    last = max(at for at, noisy in loud if noisy)
    assert last <= hushed["at"] + 0.05, "what was cut off fades, and no more of it is heard"
    assert not shown[-1][1]


def test_nonsense_over_a_websocket_harms_nobody(client: httpx.Client, server: str) -> None:
    id = opened(client)

    async def babble(http: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        for text in ("", "{", "[]", "null", '{"type": 5}', '{"type": "ping"}', "x" * 3000, "[" * 1500):
            await ws.send_str(text)
        for data in (b"", b"x", b"xyz", bytes(640)):
            await ws.send_bytes(data)

    def answered(found: list[tuple[float, Any]]) -> bool:
        sound, pictures, events = parts(found)
        return bool(sound and pictures and {"type": "pong", "at": None} in events)

    assert answered(asyncio.run(stream(server, id, enough=answered, then=babble)))

    async def shout(http: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        await ws.send_bytes(bytes(70_000))

    asyncio.run(stream(server, id, enough=lambda found: False, then=shout))  # returns: too long a message ends the connection
    assert client.get(f"/v1/sessions/{id}").status_code == 200
    told(client.get(f"/v1/sessions/{id}/stream?video=gif", headers={"Upgrade": "websocket"}), 400)
    told(client.get(f"/v1/sessions/{id}/stream"), 400)
    client.delete(f"/v1/sessions/{id}")


def test_who_comes_again_takes_the_place_of_the_one_before(client: httpx.Client, server: str) -> None:
    id = opened(client)

    async def both() -> tuple[bool, int]:
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{server}/v1/sessions/{id}/stream") as first:  # noqa: SIM117 - the second comes while the first is there
            async with http.ws_connect(f"{server}/v1/sessions/{id}/stream") as second:
                while (message := await asyncio.wait_for(first.receive(), 60)).type != aiohttp.WSMsgType.CLOSE:
                    assert message.type != aiohttp.WSMsgType.CLOSED
                await asyncio.wait_for(second.receive(), 60)
                count = (await (await http.get(f"{server}/v1/sessions/{id}")).json())["viewers"]
                return True, count

    assert asyncio.run(both()) == (True, 1)
    client.delete(f"/v1/sessions/{id}")


# ---------------------------------------------------------------- over WebRTC


class Receiver:
    """An aiortc client; what it receives is placed on the sender's clock by the sender reports, as a browser does."""

    def __init__(self, codec: str = "", *, configuration: Any = None) -> None:
        import aiortc

        self.peer = aiortc.RTCPeerConnection(configuration)
        self.video: list[tuple[float, int, bool]] = []  # arrival, moment, whether it is white
        self.sound: list[tuple[float, int, bool]] = []  # arrival, moment, whether it is loud, 10 ms each
        self.report: dict[str, list[tuple[float, int]]] = {}
        self.codec = codec
        self.shades: list[float] = []
        self.tasks: list[asyncio.Task[None]] = []
        for kind, direction in (("video", "recvonly"), ("audio", "sendrecv")):
            transceiver = self.peer.addTransceiver(kind, direction=direction)
            if kind == "video" and codec:
                known = aiortc.RTCRtpReceiver.getCapabilities("video").codecs
                transceiver.setCodecPreferences([one for one in known if one.mimeType.lower() in (f"video/{codec}", "video/rtx")])
            self._tap(kind, transceiver.receiver)
        self.channel = self.peer.createDataChannel("events")
        self.events: list[dict[str, Any]] = []
        self.channel.on("message", lambda text: self.events.append(json.loads(text)))
        self.peer.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self._take(track))))

    def _tap(self, kind: str, receiver: Any) -> None:
        rtcp = receiver._handle_rtcp_packet

        async def on_rtcp(packet: Any) -> None:
            if hasattr(packet, "sender_info") and packet.sender_info is not None:
                told = packet.sender_info.ntp_timestamp / 2**32, packet.sender_info.rtp_timestamp
                self.report.setdefault(kind, []).append(told)
            await rtcp(packet)

        receiver._handle_rtcp_packet = on_rtcp

    async def connect(self, http: aiohttp.ClientSession, address: str, id: str) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = {"type": "offer", "sdp": self.peer.localDescription.sdp}
        async with http.post(f"{address}/v1/sessions/{id}/offer", json=offer) as reply:
            answer = await reply.json()
        import aiortc

        await self.peer.setRemoteDescription(aiortc.RTCSessionDescription(**answer))
        while not (self.video and self.sound):
            await asyncio.sleep(0.02)
        return str(answer["sdp"])

    async def _take(self, track: Any) -> None:
        from aiortc.mediastreams import MediaStreamError

        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                now = time.monotonic()
                if track.kind == "video":
                    shade = float(frame.to_ndarray(format="gray")[::8, ::8].mean())
                    self.video.append((now, frame.pts, shade > 150))
                    self.shades.append(shade)
                else:
                    samples = frame.to_ndarray().reshape(-1, 2)[:, 0]
                    for i in range(0, len(samples), 480):
                        self.sound.append((now, frame.pts + i, is_loud(samples[i : i + 480])))

    def seen(self) -> int:
        """Return how many flashes have begun."""
        return sum(b[2] and not a[2] for a, b in itertools.pairwise(self.video))

    def placed(self, kind: str) -> list[tuple[float, bool]]:
        """Return (second on the sender's clock, value)."""
        rate = {"video": 90_000, "audio": 48_000}[kind]
        receiver = next(one.receiver for one in self.peer.getTransceivers() if one.kind == kind)
        # aiortc counts from the first frame that it got whole, and dates its reports by when it sent: the promptest is right
        first = receiver._RTCRtpReceiver__timestamp_mapper._origin
        begin = min(ntp + ((first - rtp + 2**31) % 2**32 - 2**31) / rate for ntp, rtp in self.report[kind])
        return [(begin + pts / rate, value) for _, pts, value in (self.video if kind == "video" else self.sound)]

    async def close(self) -> None:
        await self.peer.close()
        for task in self.tasks:
            await task


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_webrtc_brings_moving_pictures_and_sound_in_step_and_hushes_at_once(client: httpx.Client, server: str, codec: str) -> None:
    id = opened(client, chat="none", face="f1")

    async def talk() -> tuple[Receiver, int, str]:
        receiver = Receiver(codec)
        async with aiohttp.ClientSession() as http, asyncio.timeout(60):
            answer = await receiver.connect(http, server, id)
            await http.post(f"{server}/v1/sessions/{id}/say", json={"text": "one - three - five - seven - " + "word " * 120})
            while not (receiver.seen() >= 4 and all(len(receiver.report.get(kind, ())) >= 3 for kind in ("audio", "video"))):
                await asyncio.sleep(0.05)
            await http.post(f"{server}/v1/sessions/{id}/hush")
            told = receiver.sound[-1][1]
            while receiver.sound[-1][1] < told + 3.0 * 48_000:
                await asyncio.sleep(0.05)
        await receiver.close()
        return receiver, told, answer

    receiver, told, answer = asyncio.run(talk())
    client.delete(f"/v1/sessions/{id}")
    assert re.search(rf"a=rtpmap:\d+ {codec}/90000", answer, re.IGNORECASE)
    assert re.search(r"a=rtpmap:\d+ opus/48000", answer, re.IGNORECASE)
    assert max(receiver.shades) > 200 and 15 < min(receiver.shades) < 70, "the face's own colour, and white while it speaks"  # noqa: PT018
    apart = flashes(receiver.placed("video"), receiver.placed("audio"))
    print(codec, "picture after sound, ms:", [round(1000 * one) for one in apart])
    assert len(apart) >= 3
    assert -0.100 <= float(np.median(apart)) <= 0.045, apart
    # by the receiver's own time stamps; how fast by the clock, benchmarks/server.py measures
    last = max(at for _, at, loud in receiver.sound if loud)
    assert last < told + 2.0 * 48_000, "a minute of words was still to come"
    assert not receiver.video[-1][2]
    assert any(e["type"] == "hushed" for e in receiver.events)
    assert any(e["type"] == "timings" for e in receiver.events)


# ---------------------------------------------------------------- those who vanish, and the end

VANISHING = """
import asyncio, sys
sys.path[:0] = {path!r}
import aiohttp, aiortc
from test_server import Receiver
print("ready", flush=True)
async def main():
    async with aiohttp.ClientSession() as http:
        await Receiver().connect(http, {address!r}, sys.stdin.readline().strip())
        print("seen", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def test_a_client_that_vanishes_frees_its_seat_within_15_seconds(client: httpx.Client, server: str) -> None:
    """Without a word: one whose UDP stops, one whose TCP peer answers no more, and one that never came."""
    here = Path(__file__).parent
    code = VANISHING.format(path=[str(here), str(here.parent)], address=server)
    host, _, port = server.removeprefix("http://").partition(":")
    started = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with started as process, socket.create_connection((host, int(port))) as line:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            one = opened(client)  # its lease runs from now on
            process.stdin.write(f"{one}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "seen\n"
            two, three = opened(client), opened(client)
            key = "dGhlIHNhbXBsZSBub25jZQ=="
            line.sendall(f"GET /v1/sessions/{two}/stream?video=jpeg HTTP/1.1\r\nHost: {host}:{port}\r\n"
                         "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                         f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())  # fmt: skip
            assert line.recv(12) == b"HTTP/1.1 101"
            process.send_signal(signal.SIGSTOP)
            begin = time.monotonic()
            freed: list[float] = []
            while len(freed) < 3 and time.monotonic() - begin < 60:
                left = client.get("/healthz").json()["sessions"]  # asking for a session would renew it
                freed += [time.monotonic() - begin] * (3 - left - len(freed))
                time.sleep(0.1)
        finally:
            process.kill()
    print("freed after", freed)
    assert len(freed) == 3
    assert max(freed) <= 15 + 5, "15 s; five more for a machine that does much else"
    for id in (one, two, three):
        told(client.get(f"/v1/sessions/{id}"), 404)
    for id in [opened(client) for _ in range(3)]:
        client.delete(f"/v1/sessions/{id}")


def test_a_session_that_is_watched_lasts(toys: None) -> None:
    with served(house(limits={"lease": 2.5})) as address, httpx.Client(base_url=address, timeout=60) as client:
        id = opened(client)
        begin = time.monotonic()
        asyncio.run(stream(address, id, enough=lambda found: time.monotonic() - begin > 5))
        assert client.get(f"/v1/sessions/{id}").status_code == 200


def test_the_end_tells_everybody_and_leaves_no_thread(toys: None) -> None:
    before = set(threading.enumerate())
    with served(house()) as address, httpx.Client(base_url=address, timeout=60) as client:
        id = opened(client, chat="none")
        events = Listener(address, id)
        client.post(f"/v1/sessions/{id}/say", json={"text": "one two three four five six seven eight nine"})
        events.wait("started")
    assert events.over.wait(60)
    assert events.events[-1]["type"] == "closed"
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), thread.name


@pytest.mark.parametrize("voice", ["/etc/passwd", "../me.wav", "me.wav", "a.onnx", ".hidden", "c:\\me"])
def test_a_stranger_cannot_name_a_file_as_a_voice(voice: str) -> None:
    from huashen.errors import InputError
    from huashen.server.room import _checked

    with pytest.raises(InputError, match="name, not a file"):
        _checked({"tts": "cosyvoice", "voice": voice})
    assert _checked({"voice": "zh-CN-XiaoxiaoNeural"}) == {"voice": "zh-CN-XiaoxiaoNeural"}


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="wants glibc")
def test_threads_of_a_server_share_two_arenas() -> None:
    work = """
import ctypes, threading
from huashen.server.run import few_arenas
few_arenas()
all_here = threading.Barrier(6)
def work():
    held = bytearray(100_000)
    all_here.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctypes.CDLL(None).malloc_stats()
"""
    told = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True, timeout=60).stderr
    assert 1 <= len(re.findall(r"^Arena \d+:", told, re.MULTILINE)) <= 2
