"""How a driver moves the mouth over test sentences, and how well the sound alone tells the mouth of real speakers.

    python benchmarks/motion.py [--clips FOLDER] [--seconds 10]

For each voice: 95th percentile of the gap between the lips while talking (real speakers: 0.17 to 0.22 of the distance between the outer
eye corners), how many p, b, m and how many pauses over 0.3 s fall under 15 % of it, speed of the gap beside it, range of the width.
For real clips, where there are any: correlation of the signal driver with the measured mouth, for the clip's own sound and another's.
"""

import argparse
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

import huashen.registry as registry
from huashen.errors import HuashenError
from huashen.types import ARKIT_INDEX, Audio, Mark, Motion, Speech

SENTENCES = {
    "en": [
        "The quick brown fox jumps over the lazy dog.",
        "My mother bought five big apples and a bottle of milk.",
        "Do you move the blue boat before Bob opens the map?",
        "Hello, I am a digital human, and I am very happy to meet you.",
        "Paul and Mary bumped into a very famous film maker in the park.",
        "We were away a year ago, while you were in Rome.",
        "She sells sea shells by the shore, and he reads French poems.",
        "What would happen if all people spoke at the same time?",
    ],
    "zh": [
        "你好，我是数字人，很高兴认识你。",
        "爸爸妈妈不怕麻烦，每天买苹果和面包。",
        "今天天气非常好，我们一起去公园跑步吧。",
        "北京大学的朋友们明天要来看我们的表演。",
        "请问火车站怎么走？往前走，到红绿灯右转。",
        "人工智能正在改变我们的生活方式。",
        "老师说，学习语言需要耐心和练习。",
        "他把书放在桌子上面，慢慢地打开门。",
    ],
}
FPS = Fraction(25)


def gap_and_width(motions: list[Motion]) -> tuple[np.ndarray, np.ndarray]:
    """Return what the renderer makes of the weights, in distances between the outer eye corners (see docs/motion.md)."""
    weights = np.array([m.weights for m in motions], np.float64)
    one = {name: weights[:, i] for name, i in ARKIT_INDEX.items()}
    pair = {name[:-4]: (one[name] + one[name[:-4] + "Right"]) / 2 for name in one if name.endswith("Left") and name != "mouthLeft"}
    gap = 0.30 * one["jawOpen"] * (1 - one["mouthClose"]) + 0.035 * pair["mouthUpperUp"] + 0.045 * pair["mouthLowerDown"]
    gap = np.where(one["mouthClose"] >= 1, 0.0, np.maximum(gap - 0.03 * one["mouthPucker"], 0.0))
    width = 0.13 * pair["mouthStretch"] + 0.10 * pair["mouthSmile"] - 0.17 * one["mouthPucker"] - 0.10 * one["mouthFunnel"]
    return gap, width


def sentence(pieces: list[Speech], engine: str, fps: Fraction) -> tuple[float, ...]:
    """Return a sentence's numbers."""
    begun = time.perf_counter()
    motions = list(registry.load("audio2face", engine, life=False).drive(pieces, fps))
    cost = (time.perf_counter() - begun) / len(motions)
    gap, width = gap_and_width(motions)
    offset, marks = 0.0, []
    for piece in pieces:
        marks += [
            Mark("phone", m.text, m.start + offset, m.end + offset) for m in piece.marks if m.kind == "phone" and m.text not in ("", "_")
        ]
        offset += piece.audio.seconds
    middles = (np.arange(len(gap)) + 0.5) / float(fps)
    talking = np.any([(middles >= m.start) & (middles < m.end) for m in marks], axis=0)
    most = float(np.percentile(gap[talking], 95))
    lips = [gap[int(m.start * fps) : int(m.end * fps) + 1].min() < 0.15 * most for m in marks if m.text[0] in "pbm"]
    rests = [(middles > a.end + 0.08) & (middles < b.start - 0.12) for a, b in pairwise(marks) if b.start - a.end > 0.3]
    shut = [gap[r].max() < 0.15 * most for r in rests]
    return (
        most,
        sum(lips),
        len(lips),
        sum(shut),
        len(shut),
        float(np.abs(np.diff(gap)).mean() * float(fps) / most),
        float(width.min()),
        float(width.max()),
        1e3 * cost,
    )


def voices() -> None:
    """Print the numbers of each voice and driver."""
    print(f"{'':28}  gap p95 (least..most)  pbm closed  pauses closed  speed/p95    width        ms/frame")
    for voice, lang in (("espeak", "en"), ("espeak", "zh"), ("flite", "en")):
        for engine in registry.table("audio2face").names():
            try:
                speaker = registry.load("tts", voice)
                rows = np.array([sentence(list(speaker.speak(text)), engine, FPS) for text in SENTENCES[lang]])
            except HuashenError as error:
                print(f"{voice} {lang}: {error}")
                break
            print(
                f"{voice + ' ' + lang + ' ' + engine:28}  {rows[:, 0].mean():.3f} ({rows[:, 0].min():.3f}..{rows[:, 0].max():.3f})"
                f"   {f'{rows[:, 1].sum():.0f}/{rows[:, 2].sum():.0f}':10}  {f'{rows[:, 3].sum():.0f}/{rows[:, 4].sum():.0f}':13}"
                f"  {rows[:, 5].mean():9.2f}   {rows[:, 6].min():.2f}..{rows[:, 7].max():.2f}   {rows[:, 8].mean():.2f}"
            )


def measured(path: Path, seconds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    """Return a clip's sound at 16 kHz, its gap and width in every frame, and its frames a second."""
    from huashen.face.track import track
    from huashen.media import read_video

    video = read_video(path, rate=16000)
    sound, rows = [], []

    def images():
        for frame in video.frames:
            if frame.index >= seconds * video.fps:
                return
            sound.append(frame.audio.samples)
            yield frame.image

    for face in track(images()):
        points = None if face is None else face.landmarks.points.astype(np.float64)
        if points is None:
            rows.append((np.nan, np.nan))
            continue
        eyes = np.linalg.norm(points[33] - points[263])
        rows.append((np.linalg.norm(points[13] - points[14]) / eyes, np.linalg.norm(points[61] - points[291]) / eyes))
    mouth = np.array(rows)
    if not np.abs(np.concatenate(sound)).max() > 0.01 or np.mean(np.isfinite(mouth[:, 0])) < 0.9:
        return None
    return np.concatenate(sound), mouth[:, 0], mouth[:, 1], float(video.fps)


def best(guess: np.ndarray, seen: np.ndarray, fps: float) -> float:
    """Return the correlation at the offset within 0.2 s that suits best: published clips have sound and picture frames apart."""
    reach = round(0.2 * fps)
    n = min(len(guess), len(seen))
    found = []
    for shift in range(-reach, reach + 1):
        a, b = guess[max(0, shift) : n + min(0, shift)], seen[max(0, -shift) : n - max(0, shift)]
        good = np.isfinite(b)
        found.append(np.corrcoef(a[good], b[good])[0, 1])
    return float(np.max(found))


def clips(folder: Path, seconds: float) -> None:
    """Print how well the signal driver agrees with real mouths."""
    found = {}
    for name in ("sad_katie", "sad_menendez", "sad_radio2", "style_KristiNoem", "vr_face2", "vox2_796100172", "edtalk_pose2"):
        path = folder / f"{name}.mp4"
        if path.is_file() and (clip := measured(path, seconds)) is not None:
            found[name] = clip
    if not found:
        print(f"no clips in {folder}; set --clips")
        return
    driven = {
        n: gap_and_width(
            list(
                registry.load("audio2face", "signal", life=False).drive(
                    [Speech(Audio(sound.astype(np.float32), 16000))], Fraction(fps).limit_denominator(1001)
                )
            )
        )
        for n, (sound, _, _, fps) in found.items()
    }
    names = list(found)
    print("clip                  gap   width  (best offset within 0.2 s)   gap with another's sound   speed/p95 driven, real")
    for i, name in enumerate(names):
        _, gap, width, fps = found[name]
        other = driven[names[(i + 1) % len(names)]][0]
        speed = [float(np.nanmean(np.abs(np.diff(x))) * fps / np.nanpercentile(x, 95)) for x in (driven[name][0], gap)]
        print(
            f"{name:20} {best(driven[name][0], gap, fps):5.2f}  {best(driven[name][1], width, fps):5.2f} {'':32}"
            f"{best(other, gap, fps):5.2f} {'':18} {speed[0]:.2f}, {speed[1]:.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "real" / "clips")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each clip")
    asked = parser.parse_args()
    voices()
    clips(asked.clips, asked.seconds)
