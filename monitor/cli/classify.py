"""The command ``huiyin classify``: stateless, one line in, one line out, no database."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from monitor.cli._lines import QUARANTINED, File, Form, Format, Line, run
from monitor.core.errors import ClassifierError
from monitor.core.model import BINARY_LABELS, Label, Reading, Signal
from monitor.words import _

if TYPE_CHECKING:
    from classifiers.deep import Cascade
    from classifiers.fast import FastTier


class Tier(StrEnum):
    """Which models answer."""

    AUTO = "auto"
    FAST = "fast"
    DEEP = "deep"


TierOption = Annotated[
    Tier, typer.Option("--tier", help=_("用哪一级模型；auto 只在快速模型没有把握时请深度模型再看"))
]


def register(app: typer.Typer) -> None:
    """Mount ``classify`` on the root command."""
    app.command(
        "classify",
        help=_("逐条判断帖文：垃圾信息、待核说法、诉求、辱骂、风险、情绪、主题（只读文件，不用数据库）。"),
        epilog=_("例如") + ": huiyin classify posts.jsonl > answers.jsonl",
    )(classify)


def classify(
    context: typer.Context,
    file: File = "-",
    form: Form = Format.AUTO,
    tier: TierOption = Tier.AUTO,
    explain: Annotated[bool, typer.Option("--explain", help=_("没有标出的是非题也给出依据"))] = False,
) -> None:
    """Print for each post its row with the answers added; see docs/models.md for the fields."""
    from monitor.cli.main import say

    model = load(tier, lambda words: say(context, words))
    broken = run(file, form, answering(model.explain if explain else model.classify))
    if broken:
        say(context, _("有 {n} 行读不懂，已逐行写明原因，其余照常判断。").format(n=broken))
    raise typer.Exit(QUARANTINED if broken else 0)


def load(tier: Tier, say: Callable[[str], None]) -> FastTier | Cascade:
    """Load the models of a tier that serve in the data directory.

    Args:
        tier: which models answer.
        say: told once when ``auto`` has to do without the deep tier.

    Raises:
        ClassifierError: there is none, or it is damaged; the message says the mend.
    """
    from monitor.cli.models import folder

    found: FastTier | Cascade
    if tier is Tier.FAST:
        from classifiers import _artifact, fast

        found = fast.load(_artifact.active_folder(folder()))
    else:
        from classifiers import deep

        if not deep.available():
            if tier is Tier.DEEP:
                raise ClassifierError(
                    _(
                        "深度模型需要 onnxruntime：pip install 'huiyin[deep]'；或者改用 --tier fast（或 auto）。"
                    )
                )
            say(_("没有安装 onnxruntime，只用快速模型；要用深度模型：pip install 'huiyin[deep]'。"))
        found = deep.load(folder()) if tier is Tier.DEEP else deep.load_auto(folder(), say)
    gc.freeze()  # the model stays to the end: do not look through it again and again
    return found


def answering(
    read: Callable[[Sequence[str]], Sequence[Reading]],
) -> Callable[[Sequence[Line]], list[dict[str, Any]]]:
    """Return what turns lines into rows: the row that came in, with the answers of ``read`` added."""

    def answer(lines: Sequence[Line]) -> list[dict[str, Any]]:
        readings = read([line.text for line in lines])
        return [_row(line, reading) for line, reading in zip(lines, readings, strict=True)]

    return answer


def _row(line: Line, reading: Reading) -> dict[str, Any]:
    row: dict[str, Any] = {"id": line.id, "text": line.text} if line.row is None else line.row
    found = {signal.label: signal for signal in reading.signals}
    for label in BINARY_LABELS:
        signal = found[label]
        row[label.value] = _told(signal) if signal.flag or signal.reasons else _NO[signal.score]
    mood, topic, urgency = found[Label.SENTIMENT], found.get(Label.TOPIC), found.get(Label.URGENCY)
    grievance = found[Label.GRIEVANCE]
    if grievance.flag or grievance.reasons:
        row["grievance"]["topic"] = topic.value if topic and grievance.flag else None
        row["grievance"]["urgency"] = urgency.value if urgency and grievance.flag else None
    else:
        row["grievance"] = _NO_GRIEVANCE[grievance.score]
    row["sentiment"] = {"label": mood.value, "score": mood.score}
    row["topic"] = topic.value if topic else None
    row["urgency"] = urgency.value if urgency else None
    row["tier"], row["models"] = reading.tier, reading.models
    return row


def _told(signal: Signal) -> dict[str, Any]:
    reasons = [{"start": r.start, "end": r.end, "text": r.text, "why": _(r.why)} for r in signal.reasons]
    return {"score": signal.score, "flag": signal.flag, "reasons": reasons}


class _No(dict[float, msgspec.Raw]):
    """Score -> the answer "no" as JSON: there are few scores and many posts."""

    def __init__(self, **more: None) -> None:
        super().__init__()
        self._more = more

    def __missing__(self, score: float) -> msgspec.Raw:
        made = self[score] = msgspec.Raw(msgspec.json.encode({"score": score, "flag": False, **self._more}))
        return made


_NO: Final = _No()
_NO_GRIEVANCE: Final = _No(topic=None, urgency=None)
