"""The program that holds libespeak-ng: reads requests from standard input, answers on standard output.

eSpeak NG is under GPL-3 and keeps its state in globals, so it lives in a process of its own that shares nothing with the caller
but two pipes. Only the standard library is imported; `espeak.py` starts this file as `python -I espeak_worker.py LIBRARY` in the
folder that holds `espeak-ng-data` (as ".", because the library cuts longer paths off at 160 bytes).

A message is a length (4 bytes, little endian) and that many bytes. A request is JSON: {"list": true}, or {"text", "voice",
"rate", "pitch", "range"}. The answer is two messages, JSON and sound (int16): for a list {"voices": [[language, name, identifier],
…], "variants": [[name, gender], …]}; for speech {"phones": [[sample, IPA], …], "words": [[sample, character], …]}; or {"error"}.

The library is loaded afresh for each sentence (0.4 ms). Its flutter and its random numbers run on from sentence to sentence
otherwise, and the same text would sound a little different each time.
"""

import ctypes
import json
import os
import signal
import struct
import sys
from typing import IO, Any

SYNCHRONOUS = 2
PHONEME_EVENTS, PHONEME_IPA, DONT_EXIT = 1, 2, 0x8000
UTF8, END_PAUSE = 1, 0x1000
WORD, PHONEME = 1, 7
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4
LOUD = 50
"""The library's own volume, 100 being its default: at 50 the default voices stay under half of 16 bits."""


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_void_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("message", ctypes.c_uint), ("character", ctypes.c_int), ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", _Id),
    ]  # fmt: skip


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p), ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte), ("variant", ctypes.c_ubyte), ("reserved", ctypes.c_ubyte), ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class Library:
    """libespeak-ng, freshly loaded; close() unloads it."""

    def __init__(self, path: str) -> None:
        self.lib = ctypes.CDLL(path)
        self.rate = self.lib.espeak_Initialize(SYNCHRONOUS, 0, b".", PHONEME_EVENTS | PHONEME_IPA | DONT_EXIT)
        if self.rate <= 0:
            raise RuntimeError("espeak_Initialize found no data")
        self.lib.espeak_ng_SetRandSeed(ctypes.c_long(1))

    def close(self) -> None:
        """Unload the library with all its state."""
        import _ctypes

        self.lib.espeak_Terminate()
        unload: Any = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary  # type: ignore[attr-defined,unused-ignore]
        unload(self.lib._handle)

    def speak(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Speak a text; return its events and its samples."""
        phones: list[tuple[int, str]] = []
        words: list[tuple[int, int]] = []
        sound: list[bytes] = []

        def receive(samples: int | None, count: int, events: Any) -> int:
            i = 0
            while events[i].type:
                event = events[i]
                if event.type == PHONEME:  # up to 8 bytes of UTF-8 without a zero at the end when all are used
                    name = ctypes.string_at(ctypes.addressof(event) + _Event.id.offset, 8).split(b"\0")[0]
                    phones.append((event.sample, name.decode("utf-8", "ignore")))
                elif event.type == WORD:
                    words.append((event.sample, event.character - 1))
                i += 1
            if samples and count > 0:
                sound.append(ctypes.string_at(samples, 2 * count))
            return 0

        if self.lib.espeak_SetVoiceByName(request["voice"].encode()):
            return {"error": f"no voice {request['voice']}"}, b""
        for parameter, value in ((RATE, request["rate"]), (VOLUME, LOUD), (PITCH, request["pitch"]), (RANGE, request["range"])):
            self.lib.espeak_SetParameter(parameter, int(value), 0)
        callback = _CALLBACK(receive)
        self.lib.espeak_SetSynthCallback(callback)
        text = request["text"].encode("utf-8", "ignore").replace(b"\0", b"")
        failed = self.lib.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, UTF8 | END_PAUSE, None, None)
        if failed:
            return {"error": f"espeak_Synth returned {failed}"}, b""
        self.lib.espeak_Synchronize()
        return {"phones": phones, "words": words}, b"".join(sound)

    def voices(self) -> dict[str, Any]:
        """Return what voices and variants there are."""
        self.lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        found: list[tuple[str, str, str, int]] = []
        variants = ctypes.create_string_buffer(b"variant\0")
        for wanted in (None, ctypes.byref(_Voice(languages=ctypes.addressof(variants)))):
            listed = self.lib.espeak_ListVoices(wanted)
            i = 0
            while listed[i]:
                voice = listed[i].contents
                language = ctypes.string_at(voice.languages)[1:].decode()
                found.append((language, voice.name.decode(), voice.identifier.decode().replace("\\", "/"), voice.gender))
                i += 1
        return {
            "voices": [v[:3] for v in found if v[0] != "variant"],
            "variants": [(v[2].removeprefix("!v/"), v[3]) for v in found if v[0] == "variant"],
        }


def read(stream: IO[bytes]) -> bytes | None:
    """Return the next message, None at the end."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    length = struct.unpack("<I", head)[0]
    body = stream.read(length)
    return body if len(body) == length else None


def write(stream: IO[bytes], *messages: bytes) -> None:
    """Write messages and send them off."""
    for message in messages:
        stream.write(struct.pack("<I", len(message)) + message)
    stream.flush()


def main() -> None:
    """Answer requests until the caller closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the caller closes the pipe when it is done
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints must not get between the messages
    while (message := read(sys.stdin.buffer)) is not None:
        request = json.loads(message)
        try:
            library = Library(sys.argv[1])
            answer, sound = (library.voices(), b"") if "list" in request else library.speak(request)
            library.close()
        except (OSError, RuntimeError) as error:
            answer, sound = {"error": str(error)}, b""
        write(answers, json.dumps(answer).encode(), sound)


if __name__ == "__main__":
    main()
