"""The commands ``huiyin models``: which model versions are there, which one serves, and back again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli._hand import Json, emit, table
from monitor.words import _

Name = Annotated[str, typer.Argument(metavar="VERSION", help=_("版本；shipped 是随 Huiyin 安装的那一版"))]


def register(root: typer.Typer) -> None:
    """Mount ``models`` on the root command."""
    app = typer.Typer(no_args_is_help=True)
    app.command("list", help=_("列出模型各版本和正在服务的那一版。"), epilog="huiyin models list")(show)
    app.command("add", help=_("把一个模型版本的文件夹加进来。"), epilog="huiyin models add ./my-model")(add)
    app.command("use", help=_("换用一个版本，下次启动生效。"), epilog="huiyin models use 2026.12.1")(use)
    app.command("rollback", help=_("退回上一个服务的版本。"), epilog="huiyin models rollback")(rollback)
    root.add_typer(app, name="models", help=_("模型版本：查看、加入、换用、退回。"))


def folder() -> Path:
    """Return where the added model versions of the chosen data directory live."""
    return Path(os.environ.get("HUIYIN_DATA") or "huiyin-data") / "models"


def show(as_json: Json = False) -> None:
    """Print every version: does it serve, what was measured, and what is wrong with it if it cannot be used."""
    from classifiers import _artifact

    rows: list[dict[str, Any]] = [
        {
            "version": found.version,
            "serves": found.serves,
            "shipped": found.folder == _artifact.SHIPPED,
            "held_out_f1": _artifact.held_out_f1(found.folder),
            "fault": found.fault,
        }
        for found in _artifact.versions(folder())
    ]
    if as_json:
        for row in rows:
            emit(row)
        return
    labels = sorted({label for row in rows for label in row["held_out_f1"]})
    head = [_("版本"), _("服务中"), *labels, _("问题")]
    table(
        [
            [
                row["version"] + (_("（随安装）") if row["shipped"] else ""),
                "●" if row["serves"] else "",
                *(row["held_out_f1"].get(label, "") for label in labels),
                row["fault"],
            ]
            for row in rows
        ],
        head,
    )


def add(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help=_("含 manifest.json 的文件夹"))],
) -> None:
    """Copy a model version into the data directory after checking it; it does not serve before ``use``."""
    from classifiers import _artifact

    version = _artifact.add(folder(), source)
    typer.echo(_("已加入 {version}；换用：huiyin models use {version}").format(version=version), err=True)
    emit({"version": version})


def use(version: Name) -> None:
    """Let a version serve from the next start."""
    from classifiers import _artifact

    _artifact.use(folder(), version)
    typer.echo(
        _("下次启动起由 {version} 服务；退回：huiyin models rollback").format(version=version), err=True
    )
    emit({"serves": version})


def rollback() -> None:
    """Go back to the version that served before."""
    from classifiers import _artifact

    version = _artifact.rollback(folder())
    typer.echo(_("已退回 {version}，下次启动生效。").format(version=version), err=True)
    emit({"serves": version})
