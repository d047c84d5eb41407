"""Commands that make a video, and the one that measures it."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from huashen import config, terminal
from huashen.cli.options import (
    Batch,
    Crop,
    FixedBox,
    NoSmooth,
    Pads,
    Paste,
    Region,
    ResizeFactor,
    Rotate,
    Set,
    Stage,
    Static,
    Weights,
    gathered,
)  # fmt: skip
from huashen.cli.parts import (
    Box,
    Captions,
    Command,
    Driver,
    End,
    Engine,
    Face,
    Fps,
    Json,
    Lang,
    Manner,
    Out,
    Overwrite,
    Quiet,
    Resume,
    Seed,
    Size,
    Speed,
    Still,
    Tts,
    Voice,
    Which,
    app,
    as_box,
    as_which,
    chosen_of,
    fetch,
    known_text,
    put,
    report_result,
    text_of,
    wanted,
)  # fmt: skip
from huashen.errors import InputError
from huashen.words import tr


@app.command(cls=Command, help=tr("Make a picture or a video say a text", "让图片或视频中的人说一段文字"))
def say(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help=tr("what to say; - reads it from standard input", "要说的话；- 表示从标准输入读取"))
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help=tr("read the text from a file (UTF-8)", "从文件（UTF-8）读取文本"))
    ] = None,
    face: Face = None,
    out: Out = None,
    voice: Voice = None,
    tts: Tts = None,
    lang: Lang = None,
    speed: Speed = None,
    subtitles: Captions = None,
    size: Size = None,
    fps: Fps = None,
    still: Still = False,
    which: Which = None,
    box: Box = None,
    end: End = "trim",
    seed: Seed = 0,
    style: Manner = None,
    driver: Driver = None,
    engine: Engine = None,
    own: Set = None,
    stage: Stage = None,
    region: Region = None,
    weights: Weights = None,
    paste: Paste = None,
    pads: Pads = None,
    resize_factor: ResizeFactor = None,
    rotate: Rotate = False,
    crop: Crop = None,
    fixed_box: FixedBox = None,
    no_smooth: NoSmooth = False,
    static: Static = False,
    batch: Batch = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say a text."""
    from huashen import studio

    settings = config.settings()
    goal, who = wanted(out, "-o"), wanted(face or settings.face, "--face")
    given = {"voice": voice, "tts": tts, "lang": lang, "speed": speed, "subtitles": subtitles, "size": size, "fps": fps}
    chosen = chosen_of(given, settings)
    options = gathered(
        own, region=region, weights=weights, paste=paste, pads=pads, resize_factor=resize_factor, rotate=rotate, crop=crop,
        fixed_box=fixed_box, no_smooth=no_smooth, static=static, batch=batch,
    )  # fmt: skip
    words = text_of(text, file)
    fetch(quiet=quiet or as_json, example=who == "example")
    meter = terminal.Meter(str(goal), quiet=quiet or as_json)
    try:
        result = studio.say(
            words,
            who,
            goal,
            still=still,
            which=as_which(which),
            box=as_box(box),
            end=end,
            seed=seed,
            style=style,
            driver=driver,
            engine=engine,
            options=options,
            stages=stage or (),
            overwrite=overwrite,
            resume=resume,
            progress=meter.show,
            **chosen,
        )
    finally:
        meter.clear()
    report_result(result, as_json=as_json, quiet=quiet)


@app.command(cls=Command, help=tr("Make a picture or a video say recorded speech", "让图片或视频中的人说一段录音"))
def sync(
    sound: Annotated[Path, typer.Argument(metavar="SOUND", help=tr("a sound file, or a video with sound", "声音文件，或带声音的视频"))],
    face: Face = None,
    out: Out = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="TEXT", help=tr("what is said, for exact lips and subtitles", "录音的文本，用于精确口型和字幕")),
    ] = None,
    text_file: Annotated[
        Path | None, typer.Option("--text-file", metavar="FILE", help=tr("read that text from a file (UTF-8)", "从文件（UTF-8）读取该文本"))
    ] = None,
    lang: Lang = None,
    subtitles: Captions = None,
    size: Size = None,
    fps: Fps = None,
    still: Still = False,
    which: Which = None,
    box: Box = None,
    end: End = "trim",
    seed: Seed = 0,
    style: Manner = None,
    driver: Driver = None,
    engine: Engine = None,
    own: Set = None,
    stage: Stage = None,
    region: Region = None,
    weights: Weights = None,
    paste: Paste = None,
    pads: Pads = None,
    resize_factor: ResizeFactor = None,
    rotate: Rotate = False,
    crop: Crop = None,
    fixed_box: FixedBox = None,
    no_smooth: NoSmooth = False,
    static: Static = False,
    batch: Batch = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say recorded speech."""
    from huashen import studio

    settings = config.settings()
    goal, who = wanted(out, "-o"), wanted(face or settings.face, "--face")
    words = None if text is None and text_file is None else known_text(text, text_file)
    given = {"size": size, "fps": fps}
    if words is not None:  # without a text, what huashen.toml says of languages and subtitles means `say`
        given |= {"lang": lang, "subtitles": subtitles}
    chosen = chosen_of(given, settings)
    if words is None:
        chosen |= {name: value for name, value in (("lang", lang), ("subtitles", subtitles)) if value is not None}
    options = gathered(
        own, region=region, weights=weights, paste=paste, pads=pads, resize_factor=resize_factor, rotate=rotate, crop=crop,
        fixed_box=fixed_box, no_smooth=no_smooth, static=static, batch=batch,
    )  # fmt: skip
    fetch(quiet=quiet or as_json, example=who == "example")
    meter = terminal.Meter(str(goal), quiet=quiet or as_json)
    try:
        result = studio.sync(
            sound,
            who,
            goal,
            text=words,
            still=still,
            which=as_which(which),
            box=as_box(box),
            end=end,
            seed=seed,
            style=style,
            driver=driver,
            engine=engine,
            options=options,
            stages=stage or (),
            overwrite=overwrite,
            resume=resume,
            progress=meter.show,
            **chosen,
        )
    finally:
        meter.clear()
    report_result(result, as_json=as_json, quiet=quiet)


@app.command(
    cls=Command, help=tr("Make the example portrait say a sentence in Chinese and one in English", "让示例人像说一句中文和一句英文")
)
def demo(out: Out = Path("demo.mp4"), overwrite: Overwrite = False, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show what Huashen does: the example portrait, close up."""
    import cv2
    import numpy as np

    from huashen import avatar, media, studio, weights

    fetch(quiet=quiet or as_json, example=True)
    portrait = media.read_image(weights.path("astronaut"))[:320, 66:386]
    close = np.asarray(cv2.resize(portrait, (640, 640), interpolation=cv2.INTER_CUBIC), np.uint8)
    person, goal = avatar.from_image(close, name="example"), wanted(out, "-o")
    meter = terminal.Meter(str(goal), quiet=quiet or as_json)
    try:
        result = studio.say(DEMO, person, goal, subtitles="burn", seed=3, overwrite=overwrite, progress=meter.show)
    finally:
        meter.clear()
    report_result(result, as_json=as_json, quiet=quiet)


DEMO = "你好，我是化身，一个会说话的数字人。 Hello! I am Huashen: give me a picture and a text, and I will say it for you."


@app.command(
    cls=Command,
    help=tr("Measure how good a talking video is: sync, motion, sharpness, steadiness", "评测说话视频：音画同步、嘴部运动、清晰度、稳定性"),
)
def measure(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help=tr("a video file", "视频文件"))],
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="REFERENCE", help=tr("a real recording of the same speech", "同一段话的真人录像")),
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help=tr("draw curves, waveform and pictures into a .png, .jpg or .webp", "把曲线、波形和画面绘成 .png、.jpg 或 .webp"),
        ),
    ] = None,
    which: Which = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a video."""
    from huashen import measurement
    from huashen.media import write_image
    from huashen.plot import check_goal, plot
    from huashen.report import report
    from huashen.studio import Progress

    meant = as_which(which)
    if isinstance(meant, Path):
        raise InputError(tr("measure takes --which as a number or a point", "measure 的 --which 须为序号或坐标"))
    if chart is not None:
        check_goal(chart, overwrite=overwrite, inputs=(video, against))
    fetch(quiet=quiet or as_json, example=False)
    meter = terminal.Meter(str(video), quiet=quiet or as_json)
    begin = time.monotonic()

    def show(frames: int, seconds: float) -> None:
        meter.show(Progress(frames, seconds, None, time.monotonic() - begin))

    try:
        found = measurement.measure(video, against, which=meant or 0, progress=show)
    finally:
        meter.clear()
    if chart is not None:
        write_image(chart, plot(found))
    if as_json:
        put(json.dumps(found.values(), ensure_ascii=False, indent=2))
    elif not quiet:
        put("\n".join(report(found)))
