"""Commands that talk now: a page for one person, a service for many."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huashen import config
from huashen.cli.options import Stage
from huashen.cli.parts import Command, Driver, Engine, Lang, Manner, Overwrite, Quiet, Tts, Voice, app, fetch, note, put
from huashen.errors import InputError, OutputError
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.server.house import House
    from huashen.server.room import Room

Faces = Annotated[
    list[str] | None,
    typer.Option(
        "--face",
        metavar="FILE|NAME",
        help=tr(
            "a picture, a clip or the name of a prepared avatar; may be given several times, the first is shown",
            "图片、视频或数字人的名字；可多次给出，默认显示第一个",
        ),
    ),
]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help=tr(
            "where to listen; beyond this machine a token is wanted, and made where none is given",
            "监听地址；若可被其他机器访问则需要令牌，未给出时自动生成",
        ),
    ),
]
Port = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help=tr("0 takes a free one", "0 表示任选空闲端口"))]
Token = Annotated[
    str | None,
    typer.Option("--token", metavar="WORD", help=tr("what clients have to know", "客户端须提供的访问令牌"), envvar="HUASHEN_TOKEN"),
]
Docs = Annotated[
    Path | None,
    typer.Option(
        "--docs",
        metavar="FOLDER",
        help=tr(
            "answer questions from these files (Markdown, text, CSV, PDF, DOCX)", "用这些文件回答问题（Markdown、文本、CSV、PDF、DOCX）"
        ),
    ),
]
ChatName = Annotated[
    str | None,
    typer.Option("--chat", metavar="NAME", help=tr("what answers: faq, openai, rag or none", "由谁回答：faq、openai、rag 或 none")),
]
Asr = Annotated[
    str | None,
    typer.Option(
        "--asr",
        metavar="NAME",
        help=tr("what recognises speech, see: huashen engines; none: nobody listens", "语音识别引擎，见 huashen engines；none 表示不监听"),
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="SIZE",
        help=tr(
            "512 (the long side; so without it), 512x512 (cut to that shape), 720p", "512（长边，默认值）、512x512（裁成该形状）、720p"
        ),
    ),
]
Fps = Annotated[
    str | None,
    typer.Option("--fps", metavar="RATE", help=tr("frames a second, 10 to 30; 25 without it", "每秒帧数，10 到 30；默认 25")),
]
Background = Annotated[
    str | None,
    typer.Option(
        "--background",
        metavar="NAME",
        help=tr("behind the person: blur, studio, green, white, #203040", "人物背景：blur、studio、green、white、#203040"),
    ),
]
Gesture = Annotated[
    list[str] | None,
    typer.Option(
        "--gesture",
        metavar="NAME=FILE",
        help=tr(
            "a clip for a gesture: [wave] in a text or an answer plays it; may be given several times",
            "动作片段：文本或回答中的 [wave] 会播放它；可多次给出",
        ),
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help=tr(
            "PEM file: speak https, which browsers want for the microphone beyond localhost",
            "PEM 证书：启用 https；localhost 以外，浏览器须经 https 才能使用麦克风",
        ),
    ),
]
Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", help=tr("the certificate's key, PEM", "证书的私钥，PEM"))]
Ice = Annotated[
    list[str] | None,
    typer.Option(
        "--ice",
        metavar="URL[,USER,PASSWORD]",
        help=tr(
            "a STUN or TURN server for WebRTC, such as stun:stun.example.org:3478",
            "WebRTC 的 STUN 或 TURN 服务器，例如 stun:stun.example.org:3478",
        ),
    ),
]


@app.command(cls=Command, help=tr("Open a page on which the person talks with you", "打开网页，与数字人实时对话"))
def live(
    face: Faces = None,
    docs: Docs = None,
    chat: ChatName = None,
    asr: Asr = None,
    tts: Tts = None,
    voice: Voice = None,
    lang: Lang = None,
    size: Size = None,
    fps: Fps = None,
    background: Background = None,
    driver: Driver = None,
    style: Manner = None,
    engine: Engine = None,
    stage: Stage = None,
    gesture: Gesture = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = None,
    certificate: Certificate = None,
    key: Key = None,
    ice: Ice = None,
    push: Annotated[
        list[str] | None,
        typer.Option(
            "--push",
            metavar="URL",
            help=tr(
                "make a channel that never stops, and push it to rtmp://, rtsp:// or srt://; may be given several times",
                "建立不间断的频道并推流到 rtmp://、rtsp:// 或 srt://；可多次给出",
            ),
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", metavar="FILE", help=tr("record the channel to .mp4, .mkv, .flv or .ts", "把频道录制为 .mp4、.mkv、.flv 或 .ts")
        ),
    ] = None,
    hls: Annotated[
        Path | None,
        typer.Option(
            "--hls", metavar="FOLDER", help=tr("write the channel there as HLS: live.m3u8", "把频道以 HLS 写入该文件夹：live.m3u8")
        ),
    ] = None,
    playlist: Annotated[
        Path | None,
        typer.Option(
            "--playlist",
            metavar="FILE",
            help=tr(
                "what the channel shows over and over: a clip's path, 'say: text' or 'pause: seconds' on each line",
                "频道循环播放的内容：每行一个视频路径、“say: 文本”或“pause: 秒数”",
            ),
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            "--camera",
            metavar="auto|DEVICE",
            help=tr(
                "show the channel on a virtual camera (Linux, v4l2loopback): auto, or /dev/videoN",
                "在虚拟摄像头上显示（Linux v4l2loopback）：auto 或 /dev/videoN",
            ),
        ),
    ] = None,
    overwrite: Overwrite = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help=tr("open it in the browser", "自动打开浏览器"))] = True,
    quiet: Quiet = False,
) -> None:
    """Talk on a page."""
    from huashen.server.camera import find
    from huashen.server.house import Limits

    defaults = {
        "tts": tts,
        "voice": voice,
        "lang": lang,
        "size": size,
        "fps": fps,
        "background": background,
        "driver": driver,
        "engine": engine,
    }
    faces = face or [config.settings().face or "example"]
    targets = [*(push or ()), *([str(record)] if record else []), *([f"{hls}/"] if hls else [])]
    if record is not None and record.exists() and not overwrite:
        raise OutputError(tr(f"{record} exists; add -y to replace it", f"{record} 已存在；加上 -y 可替换它"))
    channelled = bool(targets or camera)
    if playlist is not None and not channelled:
        raise InputError(tr(
            "a play-list is for a channel: add --push, --record, --hls or --camera",
            "节目单用于频道：请加上 --push、--record、--hls 或 --camera",
        ))  # fmt: skip
    if camera == "auto":
        camera = str(find())
    limits = Limits(sessions=2)
    house = _house(
        faces, defaults, limits, docs=docs, chat=chat, asr=asr, ice=ice, style=style, stage=stage, gesture=gesture, quiet=quiet
    )
    channel = _channel(targets, playlist, camera) if channelled else None
    _run(house, host, port, token, certificate, key, browser=browser and not channelled, quiet=quiet, channel=channel)


@app.command(
    cls=Command, help=tr("Serve live sessions to many, over HTTP, WebRTC and WebSocket", "提供多路实时会话服务（HTTP、WebRTC、WebSocket）")
)
def serve(
    face: Faces = None,
    docs: Docs = None,
    chat: ChatName = None,
    asr: Asr = None,
    tts: Tts = None,
    voice: Voice = None,
    lang: Lang = None,
    size: Size = None,
    fps: Fps = None,
    background: Background = None,
    driver: Driver = None,
    style: Manner = None,
    engine: Engine = None,
    stage: Stage = None,
    gesture: Gesture = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = None,
    certificate: Certificate = None,
    key: Key = None,
    ice: Ice = None,
    sessions: Annotated[
        int, typer.Option("--sessions", metavar="N", min=1, max=1000, help=tr("seats: sessions at a time", "同时的会话数"))
    ] = 2,
    uploads: Annotated[bool, typer.Option("--uploads/--no-uploads", help=tr("clients may bring a picture", "客户端可上传图片"))] = True,
    quiet: Quiet = False,
) -> None:
    """Serve sessions."""
    from huashen.server.house import Limits

    defaults = {
        "tts": tts,
        "voice": voice,
        "lang": lang,
        "size": size,
        "fps": fps,
        "background": background,
        "driver": driver,
        "engine": engine,
    }
    faces = face or [config.settings().face or "example"]
    limits = Limits(sessions=sessions)
    house = _house(
        faces, defaults, limits, docs=docs, chat=chat, asr=asr, ice=ice, style=style, stage=stage, gesture=gesture, quiet=quiet,
        uploads=uploads,
    )  # fmt: skip
    _run(house, host, port, token, certificate, key, browser=False, quiet=quiet)


def _house(
    faces: list[str], defaults: dict[str, Any], limits: Any, *, docs: Path | None, chat: str | None, asr: str | None, ice: list[str] | None,
    style: str | None, stage: list[str] | None, gesture: list[str] | None, quiet: bool, uploads: bool = True,
) -> Any:  # fmt: skip
    """Prepare what is on offer: every mistake is told before anything listens."""
    from huashen import persons, studio
    from huashen.live.session import check_stages
    from huashen.server.house import House, chats, ears, seen_faces
    from huashen.server.room import rehearse

    settings = config.settings()
    chosen = {name: value if value is not None else getattr(settings, name, None) for name, value in defaults.items()}
    chosen["size"] = chosen["size"] or "512"
    care = studio.as_stages(stage or ())
    check_stages(care)
    gestures = dict(as_gesture(word) for word in gesture or ())
    fetch(quiet=quiet, example="example" in faces)
    house = House(
        seen_faces(faces),
        {name: value for name, value in chosen.items() if value is not None},
        chats(chat, docs, settings),
        ears(asr or settings.asr, chosen.get("lang")),
        limits,
        Path() if uploads else None,
        [as_ice(server) for server in ice or ()],
        gestures,
        care,
        persons.as_style(style) if style is not None else None,
    )
    if not quiet:
        note(tr("preparing the face …", "正在准备形象 …"))
    rehearse(house)
    return house


def _channel(targets: list[str], playlist: Path | None, camera: str | None) -> "Callable[[House], Room]":
    def made(house: "House") -> "Room":
        from huashen.server.app import CHANNEL
        from huashen.server.room import Room

        room = Room(house, {}, id=CHANNEL)
        room.send_to(targets, playlist, camera=camera)
        return room

    return made


def _run(
    house: "House", host: str, port: int, token: str | None, certificate: Path | None, key: Path | None, *, browser: bool, quiet: bool,
    channel: "Callable[[House], Room] | None" = None,
) -> None:  # fmt: skip
    from huashen.server.house import loopback
    from huashen.server.run import serve as run

    if token is None and not loopback(host):
        token = secrets.token_urlsafe(12)

    def ready(address: str) -> None:
        if not quiet:
            put(tr(f"open {address}  (Ctrl-C ends it)", f"请打开 {address}  （按 Ctrl-C 结束）"))
        if browser:
            import webbrowser

            webbrowser.open(address)

    run(house, host=host, port=port, token=token or "", certificate=certificate, key=key, ready=ready, channel=channel)


def as_gesture(word: str) -> tuple[str, Path]:
    """Read NAME=FILE, and look whether the file is a video."""
    from huashen import media

    name, equals, file = word.partition("=")
    if not (equals and name.strip() and file.strip()):
        raise InputError(tr(f"--gesture cannot be '{word}'; write wave=FILE", f"--gesture 不能是“{word}”；请写成 wave=文件"))
    media.read_video(Path(file.strip()))
    return name.strip(), Path(file.strip())


def as_ice(value: str) -> dict[str, Any]:
    parts = value.split(",")
    if len(parts) not in (1, 3) or not parts[0].startswith(("stun:", "turn:", "turns:")):
        raise InputError(tr(
            f"--ice cannot be '{value}'; give stun:HOST:PORT, or turn:HOST:PORT,USER,PASSWORD",
            f"--ice 不能是“{value}”；请给出 stun:主机:端口，或 turn:主机:端口,用户名,密码",
        ))  # fmt: skip
    return {"urls": parts[0]} if len(parts) == 1 else {"urls": parts[0], "username": parts[1], "credential": parts[2]}
