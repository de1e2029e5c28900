"""The contract of a classifier as checks that a plug-in's author can run: see :class:`monitor.core.ports.Classifier`.

    from monitor.testing.classifier_suite import CHECKS

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(check):
        check(my_classifier)

A check that fails raises AssertionError with one sentence.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn

from monitor.core.model import BINARY_LABELS, SENTIMENTS, URGENCIES, Label, Reading, Signal
from monitor.core.ports import Classifier

POSTS: Final = (
    "食堂二楼的窗口排了四十分钟还没轮到，能不能中午多开一个？",
    "听说下学期绩效要砍一半，内部消息，大家快转",
    "兼职刷单日结三百，加薇❤信 abc0001",
    "你们几个废物也配当老师，滚",
    "实验楼三楼有很浓的煤气味，谁快来看看",
    "感谢工会的大姐，票拿到了",
    "收到",
    "活着真没意思，药都攒好了",
    "職稱評審的名額甚麼時候公佈？",
    "+1",
)
ODD: Final = (
    "",
    " ",
    "\n\n",
    "\x00",
    "\ud800",
    "a\udfffb",
    "\u202e\u200b\ufeff",
    "😀" * 50,
    "?" * 3000,
    "加" * 5000,
    "𠮷𠮷野家\U0010ffff",
    "<script>alert(1)</script>",
    "e\u0301" * 200,
)
Check = Callable[[Classifier], None]


def has_name_and_labels(classifier: Classifier) -> None:
    """Name, version and labels are there, and the labels are questions of the house."""
    assert classifier.name, "name is empty"
    assert classifier.version, "version is empty"
    known = {label.value for label in Label}
    assert set(map(str, classifier.labels)) <= known, "labels holds a question that nobody asks"
    assert len(set(classifier.labels)) == len(classifier.labels), "labels holds a question twice"


def answers_each_text_in_order(classifier: Classifier) -> None:
    """One reading for each text, in order, none for none."""
    assert classifier.classify([]) == [], "no text must give no reading"
    readings = classifier.classify(list(POSTS))
    assert len(readings) == len(POSTS), "another number of readings than texts"
    turned = classifier.classify(list(reversed(POSTS)))
    assert list(reversed(turned)) == readings, "the order of the texts moved an answer"


def answers_do_not_depend_on_neighbours(classifier: Classifier) -> None:
    """A text alone is answered like the same text among many."""
    many = classifier.classify([*ODD, *POSTS])[len(ODD) :]
    for text, among in zip(POSTS, many, strict=True):
        assert classifier.classify([text]) == [among], "the neighbours of a text moved its answer"


def answers_twice_the_same(classifier: Classifier) -> None:
    """Same input, same output."""
    assert classifier.classify(list(POSTS)) == classifier.classify(list(POSTS)), "two runs differ"


def leaves_its_input_alone(classifier: Classifier) -> None:
    """The sequence that was given is as before."""
    given = list(POSTS)
    classifier.classify(given)
    assert given == list(POSTS), "the input was changed"


def survives_odd_texts(classifier: Classifier) -> None:
    """Nothing that can stand in a string breaks it."""
    for text, reading in zip(ODD, classifier.classify(list(ODD)), strict=True):
        _sound(classifier, text, reading)


def gives_sound_signals(classifier: Classifier) -> None:
    """Scores are probabilities, values are known, every question is answered once."""
    for text, reading in zip(POSTS, classifier.classify(list(POSTS)), strict=True):
        _sound(classifier, text, reading)
        asked = {label for label in BINARY_LABELS if label.value in classifier.labels}
        assert asked <= {signal.label for signal in reading.signals}, "a yes/no question was not answered"


def gives_reasons_for_flags(classifier: Classifier) -> None:
    """Every flag comes with spans of the original text and a sentence."""
    flagged = 0
    for text, reading in zip(POSTS, classifier.classify(list(POSTS)), strict=True):
        for signal in reading.signals:
            flagged += signal.flag
            assert not signal.flag or signal.reasons, f"{signal.label} was flagged without a reason"
            _spans(text, signal)
    assert flagged, "none of the sample posts was flagged: the operating points are out of reach"


def needs_no_network(classifier: Classifier) -> None:
    """No socket is opened while texts are classified."""
    with _no_sockets():
        classifier.classify(list(POSTS))


CHECKS: Final[tuple[Check, ...]] = (
    has_name_and_labels,
    answers_each_text_in_order,
    answers_do_not_depend_on_neighbours,
    answers_twice_the_same,
    leaves_its_input_alone,
    survives_odd_texts,
    gives_sound_signals,
    gives_reasons_for_flags,
    needs_no_network,
)


def _sound(classifier: Classifier, text: str, reading: Reading) -> None:
    labels = [signal.label for signal in reading.signals]
    assert len(set(labels)) == len(labels), "a question was answered twice"
    assert {label.value for label in labels} <= set(classifier.labels), "an answer to an undeclared question"
    assert {label.value for label in labels} <= set(reading.models), "an answer without its model's version"
    assert reading.tier in ("fast", "deep"), "tier is neither fast nor deep"
    for signal in reading.signals:
        assert math.isfinite(signal.score), f"{signal.label} has a score that is no number"
        assert 0.0 <= signal.score <= 1.0, f"{signal.label} has a score outside [0, 1]"
        assert _allowed(signal), f"{signal.label} has a value that is none of its answers"
        _spans(text, signal)


def _allowed(signal: Signal) -> bool:
    if signal.label in BINARY_LABELS:
        return signal.value is None
    if signal.label is Label.SENTIMENT:
        return signal.value in SENTIMENTS
    if signal.label is Label.URGENCY:
        return signal.value in URGENCIES
    return bool(signal.value)


def _spans(text: str, signal: Signal) -> None:
    for reason in signal.reasons:
        assert 0 <= reason.start < reason.end <= len(text), f"a reason for {signal.label} is outside the text"
        assert text[reason.start : reason.end] == reason.text, (
            f"a reason for {signal.label} quotes other words"
        )
        assert reason.why, f"a reason for {signal.label} has no sentence"


@contextmanager
def _no_sockets() -> Iterator[None]:
    """Let every attempt to open a socket fail inside a ``with`` block."""
    real = socket.socket

    def refuse(*_arguments: object, **_more: object) -> NoReturn:
        raise AssertionError("a socket was opened")

    socket.socket = refuse  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        socket.socket = real  # type: ignore[misc]


def names(checks: Sequence[Check] = CHECKS) -> list[str]:
    """Return the names of the checks, for the ids of a parametrised test."""
    return [check.__name__ for check in checks]
