"""Commands that say what is here: engines, voices, the machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from huashen import terminal
from huashen.cli.parts import Command, Json, app, put
from huashen.words import tr


@app.command(cls=Command, help=tr("List capabilities and their engines", "列出各项能力及其引擎"))
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
        put(json.dumps(rows, ensure_ascii=False, indent=2))
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
        name = str(row["name"]) + (" *" if row["default"] and row["capability"] != "stages" else "")  # stages are used when asked for
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
    put(terminal.table(lines))
    put(tr("* used when none is named", "* 未指定时使用"))


@app.command(cls=Command, help=tr("Check this machine, and say what is missing and how to get it", "检查本机，指出缺少什么、如何获得"))
def doctor(
    live: Annotated[
        bool,
        typer.Option(
            "--live", help=tr("what talking live needs: port, UDP, microphone, encoder", "检查实时会话所需：端口、UDP、麦克风、编码器")
        ),
    ] = False,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help=tr("with --live: where it would listen", "配合 --live：监听地址"))
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help=tr("with --live: the port", "配合 --live：端口"))] = 8000,
    ice: Annotated[
        list[str] | None,
        typer.Option(
            "--ice", metavar="URL[,USER,PASSWORD]", help=tr("with --live: a STUN or TURN server", "配合 --live：STUN 或 TURN 服务器")
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help=tr("with --live: the PEM file for https", "配合 --live：https 的 PEM 证书")),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help=tr("with --live: the certificate's key", "配合 --live：证书的私钥"))
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the machine."""
    if live:
        from huashen.cli.serving import as_ice
        from huashen.server import checkup as live_checkup

        servers = [as_ice(server) for server in ice or ()]
        checks = live_checkup.examine(host=host, port=port, ice_servers=servers, certificate=certificate, key=key)
        words = live_checkup.report(checks)
    else:
        from huashen import doctor as checkup

        checks = checkup.examine()
        words = checkup.report(checks)
    if as_json:
        put(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=2))
    else:
        put(words)
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(3)

