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
    app.command(
        "add",
        help=_("加入一个模型版本的文件夹，或一个 Hugging Face 编码器。"),
        epilog="huiyin models add ./my-model",
    )(add)
    app.command("use", help=_("换用一个版本，下次启动生效。"), epilog="huiyin models use 2026.12.1")(use)
    app.command("rollback", help=_("退回上一个服务的版本。"), epilog="huiyin models rollback")(rollback)
    root.add_typer(app, name="models", help=_("模型版本：查看、加入、换用、退回。"))


def folder() -> Path:
    """Return where the added model versions of the chosen data directory live."""
    return Path(os.environ.get("HUIYIN_DATA") or "huiyin-data") / "models"


def show(as_json: Json = False) -> None:
    """Print every version: does it serve, what was measured, and what is wrong with it if it cannot be used."""
    from classifiers import _artifact, _deep_artifact

    rows: list[dict[str, Any]] = [
        {
            "version": found.version,
            "serves": found.serves,
            "shipped": found.folder in (_artifact.SHIPPED, _deep_artifact.SHIPPED),
            "held_out_f1": _artifact.held_out_f1(found.folder),
            "fault": found.fault,
        }
        for found in [*_artifact.versions(folder()), *_deep_artifact.versions(folder())]
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
    source: Annotated[
        str,
        typer.Argument(metavar="FOLDER|NAME", help=_("含 manifest.json 的文件夹；或 Hugging Face 的编码器")),
    ],
) -> None:
    """Copy a model version into the data directory after checking it; it does not serve before ``use``.

    A checkpoint in the format of Hugging Face, from a folder or by its name on the hub, is kept to train from.
    """
    from classifiers import _artifact, _deep_artifact

    place = Path(source)
    if not (place / "manifest.json").exists() and ((place / "config.json").exists() or not place.exists()):
        from classifiers import _deep_base

        name = _deep_base.add(folder(), source)
        typer.echo(
            _("已加入编码器 {name}；训练：huiyin train all --deep --base {name}").format(name=name), err=True
        )
        emit({"base": name})
        return
    if _deep_artifact.is_deep(place):
        version = _deep_artifact.add(folder(), place)
    else:
        version = _artifact.add(folder(), place)
    typer.echo(_("已加入 {version}；换用：huiyin models use {version}").format(version=version), err=True)
    emit({"version": version})


def use(version: Name) -> None:
    """Let a version serve from the next start."""
    from classifiers import _artifact, _deep_artifact

    if version.startswith(_deep_artifact.PREFIX):
        _deep_artifact.use(folder(), version)
    else:
        _artifact.use(folder(), version)
    typer.echo(
        _("下次启动起由 {version} 服务；退回：huiyin models rollback").format(version=version), err=True
    )
    emit({"serves": version})


def rollback(
    deep: Annotated[bool, typer.Option("--deep", help=_("退回深度模型的上一版"))] = False,
) -> None:
    """Go back to the version that served before."""
    from classifiers import _artifact, _deep_artifact

    version = _deep_artifact.rollback(folder()) if deep else _artifact.rollback(folder())
    typer.echo(_("已退回 {version}，下次启动生效。").format(version=version), err=True)
    emit({"serves": version})
