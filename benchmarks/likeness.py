"""How often `--which portrait.jpg` takes the right face, by clips of known people.

    python benchmarks/likeness.py CLIPS [--same NAME=NAME …] [--leave NAME …] [--write src/huashen/face/likeness.npz]

Each clip is a person of its own; those joined by --same show one person in several sessions. A face of a clip serves as the reference,
another of the same person and one of somebody else are to be told apart.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from huashen import media
from huashen.face.likeness import LEAST, MARGIN, Looks, likeness, looks
from huashen.face.track import track


def faces(path: Path, *, every: int = 40, most: int = 16) -> list[Looks]:
    """Describe a face every so many frames."""
    found: list[Looks] = []
    shown: list[np.ndarray] = []

    def images() -> Iterator[np.ndarray]:
        for frame in media.read_video(path).frames:
            if frame.index >= every * most:
                return
            shown[:] = [frame.image]
            yield frame.image

    for k, face in enumerate(track(images())):
        if face is not None and k % every == every // 2:
            found.append(looks(shown[0], face))
    return found


def tell(name: str, pairs: list[tuple[Looks, Looks, Looks]]) -> None:
    """Print how often the wrong one is taken, always and where it is sure."""
    scores = np.array([(likeness(a, right), likeness(a, wrong)) for a, right, wrong in pairs])
    wrong = scores[:, 1] >= scores[:, 0]
    sure = (np.abs(scores[:, 0] - scores[:, 1]) >= MARGIN) & (scores.max(1) >= LEAST)
    print(f"{name}: {len(pairs)} choices between two, wrong {100 * wrong.mean():.1f} %; "
          f"answered {100 * sure.mean():.0f} %, wrong of these {100 * (wrong & sure).sum() / max(1, sure.sum()):.1f} %")  # fmt: skip


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path)
    parser.add_argument("--same", nargs="*", default=[])
    parser.add_argument("--leave", nargs="*", default=[], help="clips not to look at: another of a session that is there already")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    person: dict[str, str] = {}
    for group in given.same:
        names = group.split("=")
        person |= dict.fromkeys(names, names[0])
    paths = (path for path in sorted(given.clips.iterdir()) if path.suffix in (".mp4", ".mov") and path.stem not in given.leave)
    clips = {path.stem: faces(path) for path in paths}
    clips = {name: seen for name, seen in clips.items() if len(seen) >= 3}
    if given.write:
        spread = np.mean([np.var([one.shape for one in seen], axis=0) for seen in clips.values()], axis=0)
        np.savez(given.write, spread=spread.astype(np.float32))
        print(f"wrote {given.write}; run again to measure with it")
        return
    random = np.random.default_rng(0)
    names = list(clips)

    def one(seen: list[Looks]) -> Looks:
        return seen[random.integers(len(seen))]

    within, across = [], []
    while len(within) < 1500:
        name, other = random.choice(names, 2)
        if person.get(name, name) != person.get(other, other):
            third = max(1, len(clips[name]) // 3)
            within.append((one(clips[name][:third]), one(clips[name][-third:]), one(clips[other])))
    tell("one session", within)
    apart = [(a, b) for a in names for b in names if a != b and person.get(a, a) == person.get(b, b)]
    while apart and len(across) < 1500:
        a, b = apart[random.integers(len(apart))]
        other = random.choice(names)
        if person.get(other, other) != person.get(a, a):
            across.append((one(clips[a]), one(clips[b]), one(clips[other])))
    if across:
        tell("two sessions", across)


if __name__ == "__main__":
    main()
