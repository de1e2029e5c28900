"""``huiyin learn`` and ``huiyin reclassify``: teaching by a reviewed act, how the models do, and the archive read again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli._hand import As, Json, acting, emit, opened, table
from monitor.cli._lines import QUARANTINED
from monitor.core.errors import BadInput
from monitor.core.model import BINARY_LABELS, Label
from monitor.words import _

if TYPE_CHECKING:
    from monitor.usecases.learning import Ask, ModelReport

Count = Annotated[int, typer.Option("--n", min=1, max=500, help=_("多少条"))]


def register(root: typer.Typer) -> None:
    """Mount ``learn`` and ``reclassify`` on the root command."""
    app = typer.Typer(no_args_is_help=True)
    app.command(
        "sample",
        help=_("挑出最值得人标注的帖文：拿不准的、互不相似的，另有五分之一随机。"),
        epilog="huiyin learn sample --n 50 --as mod.li > ask.jsonl",
    )(sample)
    app.command(
        "decided",
        help=_("列出已处置的帖文和处置所暗示的标注，供另一个人复核。"),
        epilog="huiyin learn decided --n 50 --as mod.wang > ask.jsonl",
    )(decided)
    app.command(
        "accept",
        help=_("复核后收下填好的标注；不能收下自己处置过的帖文。"),
        epilog="huiyin learn accept ask.jsonl --as mod.wang",
    )(accept)
    app.command(
        "report",
        help=_("模型近况：分数有没有漂移，标出的有多少被人维持，校准误差。"),
        epilog="huiyin learn report --days 7 --as off.zhao",
    )(report)
    root.add_typer(app, name="learn", help=_("从人的判断中学习：抽样、复核、收下标注、模型近况。"))
    root.command(
        "reclassify",
        help=_("用现在的模型分批重读存档；可随时中断再续；不打开也不改动任何工单。"),
        epilog="huiyin reclassify --batch 256",
    )(reclassify)


def _asks(found: Iterable[Ask]) -> None:
    blank: dict[str, Any] = dict.fromkeys(label.value for label in Label)
    for ask in found:
        emit({**asdict(ask), **blank})


def sample(
    login: As = "",
    n: Count = 50,
    label: Annotated[list[Label] | None, typer.Option("--label", help=_("看哪些问题拿不准，可重复"))] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help=_("最近多少天"))] = 30,
) -> None:
    """Print one JSON line per post with empty answers to fill in."""
    from monitor.usecases import learning

    asked = label or list(BINARY_LABELS)
    if not set(asked) <= set(BINARY_LABELS):
        raise BadInput(_("--label 只能是是非题：spam、rumour、grievance、abuse、risk。"))
    with opened(models=False) as app:
        _asks(learning.sample(app.deps, acting(app, login), n, asked, days))


def decided(login: As = "", n: Count = 50) -> None:
    """Print one JSON line per decided post; ``proposed`` is what the decision says, the answers are still empty."""
    from monitor.usecases import learning

    with opened(models=False) as app:
        _asks(learning.propose(app.deps, acting(app, login), n))


def accept(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=_("填好的 JSONL"))],
    login: As = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help=_("写到哪里；不写则放进数据目录的 labels"))
    ] = None,
) -> None:
    """Write the accepted rows as training data and print where; refused lines are told one by one (exit 3)."""
    from classifiers._train import read_rows
    from monitor.usecases import learning

    rows = [row for _number, row in read_rows(file, "")]
    with opened(models=False) as app:
        found = learning.accept(app.deps, acting(app, login), rows)
    for number, why in found.refused:
        typer.echo(_("第 {line} 行没有收下：{why}").format(line=number, why=why), err=True)
    target = out or _labels() / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl"
    if found.rows:
        _write(target, found.rows)
    emit(
        {
            "accepted": len(found.rows),
            "refused": len(found.refused),
            "file": str(target) if found.rows else None,
        }
    )
    raise typer.Exit(QUARANTINED if found.refused else 0)


def _labels() -> Path:
    return Path(os.environ.get("HUIYIN_DATA") or "huiyin-data") / "labels"


def _write(target: Path, rows: Iterable[object]) -> None:
    import msgspec

    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.writelines(msgspec.json.encode(row) + b"\n" for row in rows)


def report(
    login: As = "",
    days: Annotated[int, typer.Option("--days", min=1, max=366, help=_("与之前四倍的时间比较"))] = 7,
    as_json: Json = False,
) -> None:
    """Print drift, agreement with decisions and calibration, every share with its denominator."""
    from monitor.usecases import learning

    with opened(models=False) as app:
        found = learning.report(app.deps, acting(app, login), days)
    if as_json:
        emit(asdict(found))
    else:
        _show(found)


def _show(found: ModelReport) -> None:
    table(
        [
            [
                one.label,
                f"{one.flagged_before}/{one.before}",
                f"{one.flagged_now}/{one.now}",
                _number(one.index),
            ]
            for one in found.drift
        ],
        [_("问题"), _("之前标出"), _("近期标出"), _("稳定性指数")],
    )
    table(
        [[one.label, f"{one.upheld}/{one.decided}", _number(one.error)] for one in found.agreement],
        [_("问题"), _("标出后被维持"), _("校准误差")],
    )
    table([[name, n] for name, n in found.versions.items()], [_("模型"), _("近期帖文")])


def _number(value: float | None) -> str:
    return _("数据不足") if value is None else f"{value:.3f}"


def reclassify(
    context: typer.Context,
    batch: Annotated[int, typer.Option("--batch", min=1, max=5_000, help=_("每批多少条"))] = 256,
    most: Annotated[int | None, typer.Option("--most", min=1, help=_("最多看多少条，之后再续"))] = None,
    again: Annotated[bool, typer.Option("--restart", help=_("从最新一条重新开始"))] = False,
) -> None:
    """Read stored posts again with the models that serve, newest first; goes on where it stopped."""
    from monitor.cli.main import say
    from monitor.usecases import rereading

    looked = read = 0
    begun = time.monotonic()
    left = True
    with opened() as app:
        if again:
            rereading.restart(app.deps)
        while left and (most is None or looked < most):
            done = rereading.reread(app.deps, min(batch, most - looked) if most else batch)
            looked, read, left = looked + done.looked, read + done.read, done.left
            say(context, _("已看 {looked} 条，重读 {read} 条").format(looked=looked, read=read))
    emit(
        {
            "looked": looked,
            "reread": read,
            "finished": not left,
            "seconds": round(time.monotonic() - begun, 1),
        }
    )
