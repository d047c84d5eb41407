"""Options that only some engines take, and stages: of `say` and `sync`."""

from pathlib import Path
from typing import Annotated

import typer

from huashen.words import tr

_WAV2LIP = tr("With --engine wav2lip, as its published script has them:", "配合 --engine wav2lip 使用，与其公开脚本的选项一致：")

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help=tr("an option of the talking_head engine, by its name; may be given again", "talking_head 引擎自己的选项；可重复使用"),
    ),
]
Stage = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="NAME[:K=V,…]",
        help=tr(
            "what the frames go through afterwards, such as blend or unsharp:amount=0.5, see: huashen engines; may be given again",
            "对生成画面做后处理，例如 blend 或 unsharp:amount=0.5，见 huashen engines；可重复，依次执行",
        ),
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="mouth|lower-face",
        help=tr(
            "what of a clip mouthbank draws anew: the lips alone, or jaw, chin and cheeks with them (without it, these)",
            "mouthbank 重绘视频中的哪一部分：mouth 仅嘴唇；lower-face 连同下颌、下巴和脸颊（默认）",
        ),
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        rich_help_panel=_WAV2LIP,
        help=tr("a checkpoint or an ONNX file; without it what is in the store", "检查点或 ONNX 文件；默认用权重库中的"),
    ),
]
Paste = Annotated[
    str | None,
    typer.Option(
        "--paste",
        metavar="blend|plain",
        rich_help_panel=_WAV2LIP,
        help=tr(
            "blend: only the lower face, colour and detail kept; plain: the whole box, bit for bit as published",
            "blend：只替换下半张脸，保留肤色与细节；plain：整框替换，与公开实现逐位一致",
        ),
    ),
]
Pads = Annotated[
    str | None,
    typer.Option(
        "--pads",
        metavar="T,B,L,R",
        rich_help_panel=_WAV2LIP,
        help=tr("pixels added to the face's box at the top, bottom, left, right: 0,10,0,0", "人脸框上、下、左、右扩展的像素：0,10,0,0"),
    ),
]
ResizeFactor = Annotated[
    int | None,
    typer.Option(
        "--resize-factor",
        metavar="N",
        rich_help_panel=_WAV2LIP,
        help=tr("make the picture smaller by this whole number first", "先把画面缩小为 1/N"),
    ),
]
Rotate = Annotated[
    bool, typer.Option("--rotate", rich_help_panel=_WAV2LIP, help=tr("turn the picture a quarter clockwise", "画面顺时针旋转 90°"))
]
Crop = Annotated[
    str | None,
    typer.Option(
        "--crop",
        metavar="T,B,L,R",
        rich_help_panel=_WAV2LIP,
        help=tr("use these rows and columns of the picture only; -1: to its end", "只取画面的这些行和列（上、下、左、右）；-1 表示到边缘"),
    ),
]
FixedBox = Annotated[
    str | None,
    typer.Option(
        "--fixed-box",
        metavar="T,B,L,R",
        rich_help_panel=_WAV2LIP,
        help=tr(
            "the face is here in every frame, wherever it is found (its script calls this --box)",
            "每一帧的人脸都固定在这里，不用检测结果（其脚本中名为 --box）",
        ),
    ),
]
NoSmooth = Annotated[
    bool,
    typer.Option(
        "--no-smooth", rich_help_panel=_WAV2LIP, help=tr("do not average the face's box over five frames", "不对人脸框做五帧平均")
    ),
]
Static = Annotated[
    bool, typer.Option("--static", rich_help_panel=_WAV2LIP, help=tr("show the first picture only, standing still", "只用第一帧，画面静止"))
]
Batch = Annotated[
    int | None, typer.Option("--batch", metavar="N", rich_help_panel=_WAV2LIP, help=tr("frames drawn at once", "一次绘制的帧数"))
]


def gathered(
    words: list[str] | None,
    *,
    region: str | None,
    weights: Path | None,
    paste: str | None,
    pads: str | None,
    resize_factor: int | None,
    rotate: bool,
    crop: str | None,
    fixed_box: str | None,
    no_smooth: bool,
    static: bool,
    batch: int | None,
) -> dict[str, object]:
    """Return the options that were given for the engine, those of --set among them; a name of its own wins."""
    from huashen import options

    named = {"region": region, "weights": weights, "paste": paste, "pads": pads, "resize_factor": resize_factor,
             "rotate": rotate or None, "crop": crop, "box": fixed_box, "no_smooth": no_smooth or None, "static": static or None,
             "batch": batch}  # fmt: skip
    return {**options.pairs(words or ()), **{name: value for name, value in named.items() if value is not None}}
