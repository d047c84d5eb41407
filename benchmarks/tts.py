"""Measure the voices: how long they take, how fast, how high and how loud they speak, and which phones they give.

    python benchmarks/tts.py                       time, pace, pitch and level of every installed engine
    python benchmarks/tts.py --phones cmn FILE     count the IPA segments of a text in a language
    python benchmarks/tts.py --variants            pitch and spectrum of eSpeak NG's variants against recorded speech
"""

import argparse
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np

import huashen
from huashen.registry import missing, table
from huashen.tts.loudness import loudness
from huashen.types import Floats

ENGLISH = (
    "Good morning, and welcome to the programme. Today we are going to look at how people learn to speak. "
    "A child hears thousands of words before it says the first one. Then, quite suddenly, there is no end to the questions. "
    "Where does the sun go at night? Why is the sea salty? Nobody knows all the answers, but it is fun to look for them."
)
CHINESE = (
    "大家早上好，欢迎收看今天的节目。今天我们来看看人是怎样学会说话的。孩子在说出第一个词之前，已经听过成千上万个词。"
    "然后突然之间，问题就没完没了了。太阳晚上去哪里了？海水为什么是咸的？没有人知道所有的答案，但是寻找答案很有意思。"
)
BANDS = (100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400, 5300, 6400, 7700)


def pitch(sound: Floats, rate: int) -> Floats:
    """Return F0 of each voiced frame in Hz, by autocorrelation."""
    size = 1 << (rate // 22).bit_length()
    window = np.hanning(size)
    found = []
    for i in range(0, len(sound) - size, rate // 50):
        frame = sound[i : i + size] * window
        if np.sqrt(np.mean(frame**2)) < 0.01:
            continue
        likeness = np.fft.irfft(np.abs(np.fft.rfft(frame, 2 * size)) ** 2)[:size]
        low, high = rate // 400, rate // 60
        shifts = np.arange(low, high)
        scored = likeness[low:high] / likeness[0] / (1 - 0.9 * shifts / size)
        if scored.max() > 0.4:
            found.append(rate / shifts[scored.argmax()])
    return np.asarray(found, np.float32)


def spectrum(sound: Floats, rate: int) -> Floats:
    """Return the level of each band of `BANDS` in dB against the whole, over the loud frames."""
    size = 1 << (rate // 22).bit_length()
    power = np.array([np.abs(np.fft.rfft(sound[i : i + size] * np.hanning(size))) ** 2 for i in range(0, len(sound) - size, size // 2)])
    loud = power[power.sum(1) > 0.1 * power.sum(1).mean()].mean(0)
    hertz = np.fft.rfftfreq(size, 1 / rate)
    level = np.array([loud[(hertz >= a) & (hertz < b)].sum() for a, b in pairwise(BANDS)])
    return np.asarray(10 * np.log10(level / level.sum() + 1e-9), np.float32)


def engines() -> None:
    """Print time, pace, pitch and level of every engine that is installed."""
    for entry in table("tts").entries:
        if missing(entry):
            print(f"{entry.name}: not installed")
            continue
        for who in ("female", "male"):
            begun = time.perf_counter()
            voice = huashen.load("tts", entry.name, voice=who)
            built = time.perf_counter() - begun
            for name, text, syllables in (("en", ENGLISH, False), ("zh", CHINESE, True)):
                if name == "zh" and entry.name == "flite":
                    continue
                begun = time.perf_counter()
                stream = voice.speak(text * 5)
                next(stream)
                first = time.perf_counter() - begun
                sounds = [speech.audio for speech in stream]
                took = time.perf_counter() - begun
                sound = np.concatenate([audio.samples for audio in [speech.audio for speech in voice.speak(text)]])
                seconds = len(sound) / voice.rate
                count = sum(c.isalpha() for c in text) if syllables else len(text.split())
                pace = f"{count / seconds:.2f} syllables/s" if syllables else f"{count / seconds * 60:.0f} words/min"
                f0 = pitch(sound, voice.rate)
                level, peak = 20 * np.log10([loudness(sound, voice.rate), np.abs(sound).max()])
                print(
                    f"{entry.name} {who:6} {name}: built {built * 1e3:.0f} ms, first sentence {first * 1e3:.0f} ms, "
                    f"{sum(a.seconds for a in sounds) / took:.0f} x real time, {pace}, F0 {np.median(f0):.0f} Hz "
                    f"({np.percentile(f0, 10):.0f}-{np.percentile(f0, 90):.0f}), level {level:.1f}, peak {peak:.1f} dBFS"
                )


def phones(lang: str, path: Path) -> None:
    """Count the IPA segments that eSpeak NG gives for a text."""
    voice = huashen.load("tts", "espeak", lang=lang, speed=2)
    count: Counter[str] = Counter()
    for speech in voice.speak(path.read_text(encoding="utf-8")):
        count.update(mark.text for mark in speech.marks if mark.kind == "phone")
    print(" ".join(f"{name}:{n}" for name, n in count.most_common()))


def variants(folder: Path) -> None:
    """Print median pitch and the spectrum's distance from that of recorded speech, nearest first."""
    from huashen import media

    real = []
    for path in sorted(folder.glob("*.wav")):
        sound = np.concatenate([audio.samples for audio in media.read_audio(path, rate=22050)])
        real.append(spectrum(sound, 22050))
    target = np.mean(real, 0)
    rows = []
    names = [name for name in huashen.load("tts", "espeak").voices() if not name.islower() or name[-1:].isdigit() or len(name) > 4]
    for name in names:
        try:
            voice = huashen.load("tts", "espeak", voice=f"en-us+{name}")
        except huashen.errors.UnknownEngineError:
            continue
        away, heights = [], []
        for text in (ENGLISH, CHINESE):
            sound = np.concatenate([speech.audio.samples for speech in voice.speak(text)])
            away.append(float(np.sqrt(np.mean((spectrum(sound, 22050) - target) ** 2))))
            heights.append(float(np.median(pitch(sound, 22050))))
        voice.close()
        rows.append((sum(away) / 2, name, away, heights))
    for _, name, away, heights in sorted(rows):
        print(f"{name:14} spectrum {away[0]:4.1f} {away[1]:4.1f} dB, F0 {heights[0]:3.0f} {heights[1]:3.0f} Hz")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--phones", nargs=2, metavar=("LANG", "FILE"))
    parser.add_argument("--variants", metavar="FOLDER", help="a folder with recorded speech (wav)")
    chosen = parser.parse_args()
    if chosen.phones:
        phones(chosen.phones[0], Path(chosen.phones[1]))
    elif chosen.variants:
        variants(Path(chosen.variants))
    else:
        engines()
