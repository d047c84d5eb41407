"""A measurement in words."""

from huashen.measurement import Measurement
from huashen.words import tr

_TOGETHER = 45
"""Milliseconds within which nobody notices (ITU-R BT.1359: sound 45 ms early is just noticed)."""


def verdict(found: Measurement) -> tuple[str, bool]:
    """Return in words whether sound and mouth go together, and whether that is well."""
    together = found.sync
    if together is None:
        return tr("sync cannot be judged", "无法评判同步"), False
    if together.offset_ms is None:
        return tr("the mouth does not seem to follow the sound", "嘴部似乎与声音不相符"), False
    offset = round(together.offset_ms)
    if abs(offset) <= _TOGETHER:
        return tr(f"sound and mouth go together ({offset:+d} ms)", f"音画同步（{offset:+d} 毫秒）"), True
    if offset > 0:
        return tr(f"the sound is {offset} ms late", f"声音滞后 {offset} 毫秒"), False
    return tr(f"the sound is {-offset} ms early", f"声音超前 {-offset} 毫秒"), False


def summary(found: Measurement) -> list[tuple[str, str]]:
    """Return the numbers that were found with their names."""
    rows: list[tuple[str, str]] = []
    if found.sync is not None:
        rows.append((tr("confidence", "置信度"), f"{found.sync.confidence:.2f}"))
        rows.append((tr("gap follows sound", "开度与声音相关"), f"{found.sync.correlation:.2f}"))
    if found.sound is not None and found.sound.voice is not None:
        rows.append((tr("voice in what is heard", "有声部分中的人声"), f"{100 * found.sound.voice:.0f} %"))
    if found.against is not None:
        real = found.against
        rows += [
            (tr("alike: gap, width", "与参考相关：开度、嘴宽"), f"{_two(real.gap)}, {_two(real.width)}"),
            (tr("motion ratio: gap, width", "运动幅度比：开度、嘴宽"), f"{_two(real.motion_ratio)}, {_two(real.width_ratio)}"),
            (tr("landmark distance", "关键点距离"), _three(real.landmark_distance)),
        ]
        if real.psnr is not None:
            rows.append((tr("outside: PSNR, SSIM", "嘴外：PSNR、SSIM"), f"{real.psnr:.1f} dB, {_three(real.ssim)}"))
    if found.mouth is not None:
        rows.append((tr("gap: median, 95 %", "开度：中位数、95 %"), f"{_three(found.mouth.gap)}, {_three(found.mouth.gap_p95)}"))
        rows.append((tr("teeth seen when open", "张口时露齿比例"), _two(found.mouth.teeth)))
    if found.silence is not None and found.silence.gap is not None:
        rows.append(
            (tr("in silence: median, 95 %", "静默时：中位数、95 %"), f"{_three(found.silence.gap)}, {_three(found.silence.gap_p95)}")
        )
    look = found.picture
    rows += [
        (tr("sharpness: mouth / face", "清晰度：嘴 / 脸"), _two(look.sharpness)),
        (tr("flicker: face, outside", "闪烁：脸、脸外"), f"{_two(look.flicker_face)}, {_two(look.flicker_outside)}"),
        (tr("jitter: head, mouth", "抖动：头、嘴"), f"{_two(look.jitter)} ‰, {_two(look.jitter_mouth)}"),
        (tr("identity drift", "身份漂移"), _two(look.identity_drift)),
        (tr("frames with a face", "有人脸的帧"), f"{100 * look.faces:.0f} %"),
    ]
    return rows


def report(found: Measurement) -> list[str]:
    """Return lines for a terminal: the verdict, the numbers, what could not be judged."""
    from huashen.terminal import span, table

    width, height = found.size
    return [
        f"{found.path}: {span(found.seconds)}, {width}×{height}, {float(found.fps):.4g} fps",
        verdict(found)[0],
        *(f"  {line}" for line in table([[name, value] for name, value in summary(found)]).split("\n")),
        *(tr(f"note: {note}", f"注意：{note}") for note in found.notes),
    ]


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
