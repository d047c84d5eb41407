"""Small local servers that follow the published protocols of speech services; eSpeak NG does the speaking."""

import asyncio
import base64
import io
import json
import re
import threading
import urllib.parse
import wave
from collections.abc import Callable
from html import unescape
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

import huashen
from huashen.types import Mark, Speech

RATE = 22_050


class Services:
    """All of them on one port; `asked` keeps what came, `broken` makes each answer an error, `mute` lets none come."""

    def __init__(self) -> None:
        self.voice = huashen.load("tts", "espeak")
        self.asked: list[dict[str, Any]] = []
        self.broken: Callable[[], web.Response] | None = None
        self.mute = False
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()
        self.url = f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        @web.middleware
        async def wait(request: web.Request, handler: Any) -> web.StreamResponse:
            if self.mute:
                self.asked.append({"path": request.path})
                await asyncio.sleep(3600)
            answer: web.StreamResponse = await handler(request)
            return answer

        app = web.Application(client_max_size=50_000_000, middlewares=[wait], handler_args={"handler_cancellation": True})
        app.add_routes([
            web.post("/v1/audio/speech", self.openai),
            web.post("/v1/text-to-speech/{voice}/with-timestamps", self.elevenlabs),
            web.post("/inference_sft", self.cosyvoice), web.post("/inference_zero_shot", self.cosyvoice),
            web.post("/inference_cross_lingual", self.cosyvoice),
            web.post("/tts", self.gpt_sovits), web.post("/paddlespeech/tts", self.paddlespeech),
            web.post("/_/TranslateWebserverUi/data/batchexecute", self.google), web.get("/edge", self.edge),
        ])  # fmt: skip
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self.voice.close()

    def spoken(self, text: str) -> tuple[np.ndarray[Any, Any], list[Mark]]:
        """Return what eSpeak NG says, at 22,050 Hz, and its words."""
        pieces: list[Speech] = list(self.voice.speak(text))
        marks, at = [], 0.0
        for piece in pieces:
            marks += [Mark("word", m.text, m.start + at, m.end + at, span=m.span) for m in piece.marks if m.kind == "word"]
            at += piece.audio.seconds
        assert self.voice.rate == RATE
        return np.concatenate([piece.audio.samples for piece in pieces]), marks

    def _note(self, request: web.Request, **values: Any) -> None:
        self.asked.append({"path": request.path, "headers": dict(request.headers), **values})

    async def openai(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._note(request, **body)
        return self.broken() if self.broken else web.Response(body=wav(self.spoken(body["input"])[0]), content_type="audio/wav")

    async def elevenlabs(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._note(request, **body)
        if self.broken:
            return self.broken()
        text = body["text"]
        samples, marks = self.spoken(text)
        starts, ends, at, done = [0.0] * len(text), [0.0] * len(text), 0, 0.0
        for mark in marks:  # the characters of a word share its time
            found = text.find(mark.text, at)
            if found < 0:
                continue
            for k in range(at, found):
                starts[k] = ends[k] = done
            step = (mark.end - mark.start) / len(mark.text)
            for k in range(len(mark.text)):
                starts[found + k], ends[found + k] = mark.start + k * step, mark.start + (k + 1) * step
            at, done = found + len(mark.text), mark.end
        for k in range(at, len(text)):
            starts[k] = ends[k] = done
        told = {"characters": list(text), "character_start_times_seconds": starts, "character_end_times_seconds": ends}
        return web.json_response({"audio_base64": base64.b64encode(mp3(samples)).decode(), "alignment": told, "normalized_alignment": told})

    async def cosyvoice(self, request: web.Request) -> web.Response:
        form = await request.post()
        values = {name: value if isinstance(value, str) else value.file.read() for name, value in form.items()}
        self._note(request, **values)
        if self.broken:
            return self.broken()
        return web.Response(body=(self.spoken(str(values["tts_text"]))[0] * 32767).astype("<i2").tobytes())

    async def gpt_sovits(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._note(request, **body)
        if self.broken:
            return self.broken()
        if not body.get("ref_audio_path"):
            return web.json_response({"message": "ref_audio_path is required"}, status=400)
        return web.Response(body=wav(self.spoken(body["text"])[0]), content_type="audio/wav")

    async def paddlespeech(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._note(request, **body)
        if self.broken:
            return self.broken()
        path = body.get("save_path")  # as paddlespeech/server/restful/tts_api.py checks
        if not (0 < body["speed"] <= 3 and body["sample_rate"] in (0, 8000, 16000) and (path is None or path.endswith(("pcm", "wav")))):
            return web.json_response({"success": False, "code": 500, "message": {"description": "server parameter error"}, "result": {}})
        sound = base64.b64encode(wav(self.spoken(body["text"])[0])).decode()
        result = {"lang": "zh", "spk_id": body["spk_id"], "speed": body["speed"], "volume": 1.0, "sample_rate": RATE, "audio": sound}
        return web.json_response({"success": True, "code": 200, "message": {"description": "success."}, "result": result})

    async def google(self, request: web.Request) -> web.Response:
        form = urllib.parse.parse_qs(await request.text())
        call = json.loads(form["f.req"][0])[0][0]
        text, lang, slow, _ = json.loads(call[1])
        self._note(request, text=text, lang=lang, slow=slow, rpc=call[0])
        if self.broken:
            return self.broken()
        sound = base64.b64encode(mp3(self.spoken(text)[0])).decode()
        return web.Response(text=f')]}}\'\n\n9999\n[["wrb.fr","jQ1olc","[\\"{sound}\\"]",null,null,null,"generic"]]\n')

    async def edge(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        config = ""
        async for message in socket:
            assert message.type == WSMsgType.TEXT
            head, _, body = message.data.partition("\r\n\r\n")
            if "Path:speech.config" in head:
                config = body
                continue
            if self.broken:
                await socket.close()
                break
            text = unescape(re.sub(r"<[^>]+>", "", body)).strip()
            voice = re.search(r"name='([^']+)'", body)
            rate = re.search(r"rate='([^']+)'", body)
            self._note(request, text=text, config=json.loads(config), voice=voice and voice[1], rate=rate and rate[1])
            samples, marks = self.spoken(text)
            await socket.send_str("X-RequestId:1\r\nPath:turn.start\r\n\r\n{}")
            for mark in marks:
                where = {"Offset": round(mark.start * 1e7), "Duration": round((mark.end - mark.start) * 1e7)}
                word = {"Text": mark.text, "Length": len(mark.text), "BoundaryType": "WordBoundary"}
                told = {"Metadata": [{"Type": "WordBoundary", "Data": {**where, "text": word}}]}
                await socket.send_str("X-RequestId:1\r\nPath:audio.metadata\r\n\r\n" + json.dumps(told))
            sound = mp3(samples)
            for k in range(0, len(sound), 4000):
                header = b"X-RequestId:1\r\nContent-Type:audio/mpeg\r\nPath:audio\r\n"
                await socket.send_bytes(len(header).to_bytes(2, "big") + header + sound[k : k + 4000])
            await socket.send_str("X-RequestId:1\r\nPath:turn.end\r\n\r\n{}")
        return socket


def wav(samples: np.ndarray[Any, Any]) -> bytes:
    """Return a WAV file."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return stream.getvalue()


def mp3(samples: np.ndarray[Any, Any]) -> bytes:
    """Return an MP3 file; its beginning is about 25 ms late, as MP3's is."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format="mp3") as container:
        track = container.add_stream("libmp3lame", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16p", layout="mono")
        frame.sample_rate = RATE
        for packet in [*track.encode(frame), *track.encode(None)]:
            container.mux(packet)
    return stream.getvalue()
