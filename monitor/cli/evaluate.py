"""The command ``huiyin evaluate``: what a model is worth on labelled posts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli._hand import Json, emit, table
from monitor.cli.classify import Tier, TierOption, load
from monitor.core.errors import BadInput
from monitor.words import _

if TYPE_CHECKING:
    from classifiers._evaluate import Failure, Outcome
    from classifiers._question import Question, Row


def register(app: typer.Typer) -> None:
    """Mount ``evaluate`` on the root command."""
    app.command(
        "evaluate",
        help=_("用带标注的帖文衡量模型：准确率、宏 F1、各类的精确率与召回率、PR-AUC、校准误差、混淆表。"),
        epilog=_("例如") + ": huiyin evaluate spam corpora/domain/part5.jsonl",
    )(evaluate)


def evaluate(
    task: Annotated[str, typer.Argument(metavar="TASK", help=_("问题，如 spam、grievance、claim_match"))],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help=_("JSONL，可以是 .gz；带标注；TASK 为 suite 时写章节名")),
    ] = None,
    tier: TierOption = Tier.AUTO,
    claims: Annotated[
        Path | None, typer.Option("--claims", metavar="CLAIMS.jsonl", help=_("claim_match 用的说法库"))
    ] = None,
    failures: Annotated[int, typer.Option("--failures", min=0, help=_("另列出判断错而最有把握的几条"))] = 0,
    sets: Annotated[
        Path | None, typer.Option("--sets", metavar="DIR", help=_("suite 用的公开数据集文件夹（可没有）"))
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure the model that serves on labelled rows; several files are one set. ``suite`` prints every table of the docs."""
    from classifiers import _evaluate

    if task == _SUITE:
        _suite([path.name for path in files or []], sets)
        return
    if not files:
        raise BadInput(_("请指明带标注的文件。"))
    plain = task not in (_evaluate.CLAIM_MATCH, _evaluate.PAIR)
    rows = list(_rows(files, "text" if plain else ""))
    if task == _evaluate.CLAIM_MATCH:
        if claims is None:
            raise BadInput(_("claim_match 需要 --claims 指明说法库。"))
        _show(_evaluate.evaluate_matching(_evaluate.references(_rows([claims])), rows), as_json)
    elif task == _evaluate.PAIR:
        _show(_evaluate.evaluate_pairs(rows), as_json)
    else:
        question = _evaluate.question_of(task)
        if question is None:
            raise BadInput(_("没有这个问题；可选：{tasks}。").format(tasks=", ".join(_evaluate.tasks())))
        _measured(question, rows, tier, failures, as_json)


_SUITE = "suite"


def _suite(names: list[str], sets: Path | None) -> None:
    """Print the named sections, or all, as Markdown tables."""
    import corpora
    from classifiers import _artifact, deep, fast
    from classifiers import _suite as suite
    from monitor.cli.models import folder

    unknown = [name for name in names if name not in suite.PARTS]
    if unknown:
        raise BadInput(_("没有这一章；可选：{parts}。").format(parts=", ".join(suite.PARTS)))
    if sets is not None and not sets.is_dir():
        raise BadInput(_("{folder} 不是文件夹。").format(folder=sets))
    models = suite.Serving(
        fast.load(_artifact.active_folder(folder())),
        deep.load(folder()) if deep.available() else None,
    )
    for name in names or suite.PARTS:
        typer.echo(f"\n## {name} ({(models.both or models.fast).version})\n")
        for line in suite.PARTS[name](models, Path(corpora.__path__[0]), sets):
            typer.echo(line)


def _measured(question: Question, rows: list[Row], tier: Tier, failures: int, as_json: bool) -> None:
    from classifiers._evaluate import evaluate as measuring

    model = load(tier, lambda words: typer.echo(words, err=True))
    outcome = measuring(model, question, rows, failures)
    if outcome is None:
        raise BadInput(_("文件里没有一行回答这个问题：检查 label、task 或同名的字段。"))
    figures = {"model": f"{question.label}@{model.version}", "rows": len(rows), **outcome.figures}
    if as_json and failures:
        figures["failures"] = [_as_row(failure) for failure in outcome.failures]
    _show(figures, as_json)
    if not as_json:
        _show_failures(outcome)


def _rows(files: Iterable[Path], key: str = "") -> Iterator[Row]:
    from classifiers._train import read_rows

    for path in files:
        for _number, row in read_rows(path, key):
            if row is not None:
                yield row


def _as_row(failure: Failure) -> dict[str, Any]:
    return {"text": failure.text, "truth": failure.truth, "said": failure.said, "chance": failure.chance}


# --- printing --------------------------------------------------------------------------------------


def _show(figures: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        emit(figures)
        return
    for name, value in figures.items():
        if name == "classes":
            _show_classes(value)
        elif name == "confusion":
            _show_confusion(value)
        elif isinstance(value, Mapping):
            typer.echo(f"{name}: " + "  ".join(f"{key}={json.dumps(each)}" for key, each in value.items()))
        else:
            typer.echo(f"{name}: {value}")


def _show_classes(classes: Mapping[str, Any]) -> None:
    head = [_("答案"), "n", _("精确率"), _("召回率"), "F1", "PR-AUC"]
    rows = [
        [
            name,
            found["n"],
            *(_with(found[key], found[f"{key}_95"]) for key in ("precision", "recall", "f1")),
            _with(found["pr_auc"]["value"], found["pr_auc"]["interval_95"]),
        ]
        for name, found in classes.items()
        if found["n"]
    ]
    table(rows, head)


def _with(value: float, interval: list[float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _show_confusion(confusion: Mapping[str, Any]) -> None:
    names = confusion["answers"]
    rows = [[name, *row] for name, row in zip(names, confusion["rows_truth_columns_said"], strict=True)]
    table([row for row in rows if any(row[1:])], [_("真\\判"), *names])


def _show_failures(outcome: Outcome) -> None:
    if outcome.failures:
        table(
            [[f.truth, f.said, f"{f.chance:.3f}", f.text] for f in outcome.failures],
            [_("真"), _("判"), _("把握"), _("帖文")],
        )
