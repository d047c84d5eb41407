"""`huashen train`: Huashen's own networks."""

from pathlib import Path
from typing import Annotated

import typer

from huashen.cli.parts import Command, group, put
from huashen.errors import InputError, MissingPartError
from huashen.words import tr

training = group(tr("Train Huashen's own networks", "训练化身自带的网络"))


@training.callback()
def training_root(context: typer.Context) -> None:
    """Show help when there is no command."""
    if context.invoked_subcommand is None:
        put(context.get_help())


@training.command("audio2face", cls=Command, help=tr(
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
    ))] = 60.0,
    nets: Annotated[int, typer.Option("--nets", metavar="N", min=1, help=tr(
        "networks whose mean tells the mouth", "取平均的网络个数"
    ))] = 2,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, help=tr(
        "networks trained at the same time", "同时训练的网络个数"
    ))] = 1,
    far: Annotated[bool, typer.Option("--far", help=tr(
        "look 0.48 s ahead instead of 0.2: for files, not for live speech", "向前看 0.48 秒而非 0.2 秒：用于文件，不用于直播"
    ))] = False,
    speech: Annotated[Path | None, typer.Option("--speech", metavar="FOLDER", help=tr(
        "speech that nobody filmed, a folder for each voice, to be learned from too; needs the weights whisper_base",
        "没有画面的语音，每个说话人一个文件夹，一并用于学习；需要权重 whisper_base",
    ))] = None,
    whisper: Annotated[bool, typer.Option("--whisper", help=tr(
        "read the mouth out of Whisper's encoder (needs the weights whisper_base); FILE is then an .npz",
        "从 Whisper 编码器中读取口型（需要权重 whisper_base）；FILE 此时为 .npz",
    ))] = False,
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
    if speech is not None and not speech.is_dir():
        raise InputError(tr(f"{speech} is no folder of speech", f"{speech} 不是语音文件夹"))
    from huashen.train import audio2face, whispered

    takes = audio2face.gather(clips, work, speaker or ())
    if whisper:
        whispered.fit(takes, out, count=folds, times=times, nets=nets)
        return
    layers = audio2face.FAR if far else audio2face.LAYERS
    audio2face.fit(takes, out, count=folds, times=times, nets=nets, jobs=jobs, layers=layers, speech=speech)
