"""Every installed classifier keeps the contract; and the suite sees each way to break it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points

import pytest

from monitor.core.model import BINARY_LABELS, Label, Reading, Reason, Signal
from monitor.core.ports import Classifier
from monitor.testing import classifier_suite as suite

INSTALLED = [point.name for point in entry_points(group="huiyin.classifiers")]


@cache
def installed(name: str) -> Classifier:
    (point,) = entry_points(group="huiyin.classifiers", name=name)
    loaded: Classifier = point.load()()
    return loaded


@pytest.mark.parametrize("check", suite.CHECKS, ids=suite.names())
@pytest.mark.parametrize("name", INSTALLED)
def test_installed_classifiers_keep_the_contract(name: str, check: suite.Check) -> None:
    check(installed(name))


# --- the suite itself ------------------------------------------------------------------------------


class Plain:
    """A classifier that keeps the contract: a post that holds an exclamation-like word is flagged."""

    name, version, labels = "plain", "1", tuple(label.value for label in BINARY_LABELS)

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        return [self.read(text) for text in texts]

    def read(self, text: str) -> Reading:
        at = text.find("兼职")
        reasons = (Reason(at, at + 2, "兼职", "招揽"),) if at >= 0 else ()
        spam = Signal(Label.SPAM, 0.9 if reasons else 0.1, bool(reasons), None, reasons)
        rest = [Signal(label, 0.0) for label in BINARY_LABELS[1:]]
        return Reading((spam, *rest), "fast", {label.value: "1" for label in BINARY_LABELS})


def _changed(change: Callable[[str, Reading], Reading]) -> Plain:
    class Changed(Plain):
        def read(self, text: str) -> Reading:
            return change(text, super().read(text))

    return Changed()


class Counting(Plain):
    """Answers another thing the second time."""

    calls = 0

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        self.calls += 1
        return [replace(r, models={**r.models, "n": str(self.calls)}) for r in super().classify(texts)]


class Sorting(Plain):
    """Sorts what it was given."""

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        found = super().classify(texts)
        if isinstance(texts, list):
            texts.sort()
        return found


class Fragile(Plain):
    """Breaks on a lone surrogate."""

    def read(self, text: str) -> Reading:
        text.encode("utf-8")
        return super().read(text)


class Talking(Plain):
    """Opens a socket."""

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        import socket

        socket.socket().close()
        return super().classify(texts)


class Crowded(Plain):
    """Lets the first text of a batch move the others."""

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        return [replace(r, models={**r.models, "n": str(len(texts))}) for r in super().classify(texts)]


def _no_reasons(_text: str, reading: Reading) -> Reading:
    return replace(reading, signals=tuple(replace(s, reasons=()) for s in reading.signals))


def _wrong_words(_text: str, reading: Reading) -> Reading:
    spoilt = [replace(s, reasons=tuple(replace(r, text="别的") for r in s.reasons)) for s in reading.signals]
    return replace(reading, signals=tuple(spoilt))


def _too_sure(_text: str, reading: Reading) -> Reading:
    return replace(reading, signals=tuple(replace(s, score=1.5) for s in reading.signals))


def _silent(_text: str, reading: Reading) -> Reading:
    return replace(reading, signals=reading.signals[1:])


def test_the_suite_passes_a_plain_classifier() -> None:
    for check in suite.CHECKS:
        check(Plain())


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (suite.gives_reasons_for_flags, _changed(_no_reasons)),
        (suite.gives_reasons_for_flags, _changed(_wrong_words)),
        (suite.gives_sound_signals, _changed(_too_sure)),
        (suite.gives_sound_signals, _changed(_silent)),
        (suite.answers_twice_the_same, Counting()),
        (suite.leaves_its_input_alone, Sorting()),
        (suite.needs_no_network, Talking()),
        (suite.answers_do_not_depend_on_neighbours, Crowded()),
    ],
)
def test_the_suite_sees_a_broken_contract(check: suite.Check, broken: Classifier) -> None:
    with pytest.raises(AssertionError):
        check(broken)


def test_the_suite_sees_what_odd_texts_break() -> None:
    with pytest.raises(UnicodeEncodeError):
        suite.survives_odd_texts(Fragile())
