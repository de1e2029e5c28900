"""The command ``huiyin train``: make a model version from the own corpus and a user's labelled posts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli._hand import emit
from monitor.core.errors import BadInput
from monitor.words import _

if TYPE_CHECKING:
    from classifiers._gold import Compared
    from classifiers._question import Question
    from classifiers._version import Made

_ALL = "all"


def register(app: typer.Typer) -> None:
    """Mount ``train`` on the root command."""
    app.command(
        "train",
        help=_("从自有语料和你的标注训练一个模型版本，并在留出的整份语料上衡量。"),
        epilog=_("例如") + ": huiyin train spam --data labelled.jsonl --promote-if-better",
    )(train)


def train(
    context: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK|all", help=_("--data 里的标注教哪个问题；all 为全部"))],
    data: Annotated[
        list[Path] | None, typer.Option("--data", metavar="FILE", help=_("带标注的 JSONL，可重复"))
    ] = None,
    version: Annotated[str, typer.Option("--version", help=_("版本名；不写则用今天的日期"))] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help=_("写到哪个文件夹；不写则加入数据目录"))
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote-if-better", help=_("在留出的帖文上确实更好才换用"))
    ] = False,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", metavar="DIR", help=_("自有语料的文件夹，含 split.json"))
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help=_("训练深度模型（需要 huiyin[train]）"))] = False,
    base: Annotated[
        str, typer.Option("--base", metavar="NAME", help=_("深度：从哪个编码器开始；不写则自己预训练"))
    ] = "",
    preset: Annotated[str, typer.Option("--preset", help=_("深度：新编码器的规格"))] = "small",
    pool: Annotated[
        list[Path] | None,
        typer.Option("--pool", metavar="FILE", help=_("深度：预训练用的无标注帖文，可重复")),
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help=_("深度：预训练最多多少分钟"))] = 55.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help=_("深度：标注帖文读几遍"))] = 6,
    own_head: Annotated[
        bool, typer.Option("--own-head", help=_("深度：沿用 --base 自带的分类头，不再训练"))
    ] = False,
) -> None:
    """Fit every question on the own corpus; the rows of --data teach TASK. Takes about five minutes.

    With --deep the deep tier is made instead: pre-training (unless --base), teaching, measuring.
    """
    from classifiers import _version
    from monitor.cli.main import say

    if deep:
        from monitor.cli import _deep

        if task != _ALL or promote or data:
            raise BadInput(_("--deep 只与 all 同用，不带 --data 和 --promote-if-better。"))
        emit(
            _deep.train(
                _version.read_corpus(corpus or _own_corpus()),
                version=version or _today(),
                out=out,
                base=base,
                preset=preset,
                pool=pool or [],
                minutes=minutes,
                rounds=rounds,
                own_head=own_head,
                say=lambda words: say(context, words),
            )
        )
        return
    if promote and out is not None:
        raise BadInput(_("--promote-if-better 用于数据目录，不能与 --out 同用。"))
    question = _question(task)
    found = _version.read_data(data or [], question)
    made = _version.make(
        _version.read_corpus(corpus or _own_corpus()),
        version or _today(),
        found,
        lambda words: say(context, words),
    )
    folder = _write(made, out)
    promoted = promote and _promoted(context, made, question)
    f1 = {label: figures["f1"] for label, figures in made.evaluation["held_out"].items()}
    emit({"version": made.model.version, "folder": str(folder), "held_out_f1": f1, "promoted": promoted})
    if promote and not promoted:
        raise typer.Exit(1)


def _question(task: str) -> Question | None:
    from classifiers import _evaluate

    if task == _ALL:
        return None
    question = _evaluate.question_of(task)
    if question is None:
        raise BadInput(
            _("没有这个问题；可选：{tasks}。").format(tasks=", ".join([_ALL, *_evaluate.labels()]))
        )
    return question


def _own_corpus() -> Path:
    import corpora

    return Path(corpora.__path__[0]) / "domain"


def _today() -> str:
    """Return a version named after the day that is not taken yet."""
    from monitor.cli.models import folder

    day = f"{datetime.now(UTC):%Y.%m.%d}"
    names = [day, *(f"{day}-{number}" for number in range(2, 100))]
    return next(name for name in names if not (folder() / name).exists())


def _write(made: Made, out: Path | None) -> Path:
    from classifiers import _artifact
    from monitor.cli.models import folder

    if out is None:
        return folder() / _artifact.add_made(folder(), made.model.version, made.save)
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").exists():
        raise BadInput(_("{folder} 不是空的，也不是模型文件夹；请换一个。").format(folder=out))
    made.save(out)
    return out


def _promoted(context: typer.Context, made: Made, question: Question | None) -> bool:
    """Let the version serve when it is better; else say why not."""
    from classifiers import _artifact, _version
    from classifiers._registry import QUESTIONS
    from monitor.cli.main import say
    from monitor.cli.models import folder

    asked = QUESTIONS if question is None else (question,)
    serving = _artifact.active_folder(folder())
    found = _version.compared(made, serving)
    _show(context, found)
    why = _version.objections(made, serving, found, asked)
    if why:
        say(context, _("没有换用：{why}").format(why="; ".join(why)))
        return False
    _artifact.use(folder(), made.model.version)
    say(context, _("已换用 {version}，下次启动生效。").format(version=made.model.version))
    return True


def _show(context: typer.Context, found: Sequence[Compared]) -> None:
    """Print what changes for each question on the posts that neither version has learnt from."""
    from monitor.cli.main import say

    say(context, _("在留出的帖文上与正在服务的版本逐条比较（配对自助法，95% 区间）："))
    for one in found:
        low, high = one.interval
        verdict = _("变差") if one.worse else _("变好") if one.better else _("在误差之内")
        say(
            context,
            f"{one.question:10} n={one.n:<5} {one.old:.3f} -> {one.new:.3f}  {one.gain:+.3f} [{low:+.3f}, {high:+.3f}]  {verdict}",
        )
