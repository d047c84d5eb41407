"""How long after the user's last word the answer begins to sound: PocketSphinx, faq over the test's documents, eSpeak NG.

    python benchmarks/answer.py [--questions 12] [--asr faster-whisper] [--voice-of-the-user flite]

Questions are spoken into a live session's microphone at their own pace, as a browser would send them. Counted is from the last sample
of the question above -34 dB of its loudest to the first picture with sound of the answer that the session gives out;
transport comes on top.
"""

import argparse
import asyncio
import csv
import queue
import sys
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import toy_sounds as sounds
from huashen.config import settings
from huashen.server.house import House, Limits, chats, ears, seen_faces
from huashen.server.room import Room
from huashen.types import Audio, Frame
from toy_sounds import RATE, Sound

DOCUMENTS = Path(__file__).parents[1] / "tests" / "questions" / "dev" / "en-rental"


class Listener:
    """Takes frames and notes when the first sound after a moment is given out."""

    def __init__(self) -> None:
        self.heard: queue.Queue[str] = queue.Queue()
        self.first = threading.Event()
        self.at = 0.0

    def put(self, frame: Frame) -> None:
        if not self.first.is_set() and np.abs(frame.audio.samples).max(initial=0) > 1e-3:
            self.at = time.monotonic()
            self.first.set()

    def tell(self, event: dict[str, object]) -> None:
        if event.get("type") == "heard" and event.get("final", True):
            self.heard.put(str(event.get("text")))

    def silence(self) -> None:
        pass

    async def alive(self) -> bool:
        return True

    async def close(self) -> None:
        pass


def speak(room: Room, sound: Sound, until: threading.Event | None = None) -> float:
    """Give sound to the microphone at its own pace, until something happens; return when it began."""
    begun = time.monotonic()
    for k in range(0, len(sound), 320):
        time.sleep(max(0.0, begun + k / RATE - time.monotonic()))
        room.listen(Audio(sound[k : k + 320], RATE))
        if until is not None and until.is_set():
            break
    return begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--asr", default="pocketsphinx")
    parser.add_argument("--voice-of-the-user", default="flite", metavar="TTS")
    given = parser.parse_args()
    with next(DOCUMENTS.glob("*.csv")).open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row and row[0].endswith("?")][: given.questions]
    spoken = [sounds.said(given.voice_of_the_user, row[0]) for row in rows]
    house = House(
        seen_faces(["example"]), {"size": "256", "fps": 25, "tts": "espeak"}, chats("faq", DOCUMENTS / "docs", settings()),
        ears(given.asr, "en"), Limits(sessions=1), None, [], {}, (),
    )  # fmt: skip
    room, listener = Room(house, {}), Listener()
    room.join(listener)  # type: ignore[arg-type]
    room.begin()
    taken: list[float] = []
    try:
        for row, question in zip(rows, spoken, strict=True):
            sound = np.concatenate([np.zeros(RATE // 2, np.float32), question, np.zeros(3 * RATE, np.float32)])
            sound += (3e-4 * np.random.default_rng(0).normal(size=len(sound))).astype(np.float32)
            last = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(question).max())[-1] / RATE
            listener.first.clear()
            begun = speak(room, sound, listener.first)
            answered = listener.first.wait(10)
            taken.append(listener.at - begun - last if answered else float("inf"))
            text = listener.heard.get(timeout=1) if answered else "-"
            print(f"{taken[-1] * 1000:6.0f} ms  {row[0]}  ->  {text}", flush=True)
            room.hush()
            speak(room, (3e-4 * np.random.default_rng(1).normal(size=2 * RATE)).astype(np.float32))
            while not listener.heard.empty():
                listener.heard.get()
    finally:
        asyncio.run(room.close())
    print(f"median {np.median(taken) * 1000:.0f} ms, worst {max(taken) * 1000:.0f} ms of {len(taken)} questions")


if __name__ == "__main__":
    main()
