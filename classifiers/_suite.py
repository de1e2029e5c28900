"""The whole evidence in one run: every figure of docs/models.md, printed as the tables that stand there.

Sections are functions of their own, so that each can be asked for alone (``huiyin evaluate --suite PART``). What needs
public sets is measured where a folder holds them and said to be missing where not; nothing is learnt from them.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from classifiers import _train, _version
from classifiers._evaluate import (
    Measurable,
    Outcome,
    evaluate,
    evaluate_matching,
    evaluate_pairs,
    question_of,
    references,
)
from classifiers._measure import compared
from classifiers._question import Question
from classifiers._registry import QUESTIONS, YES_NO
from classifiers._text import as_written, normalise
from classifiers.deep import Cascade
from classifiers.fast import FastTier
from classifiers.groups import Grouper
from monitor.core.errors import ClassifierError

Row = Mapping[str, Any]
Lines = Iterator[str]

# What others report or what is the least one would try: as written in the read-me of the sets, macro-F1 where not said.
PUBLISHED: Final = {
    "ced.rumour": "character TF-IDF + logistic regression 0.896 random split, 0.787 on the later period",
    "weibo21.rumour": "best published on its own test 0.943 (MCFEND, WWW 2024); 0.470 on news of several sources",
    "checked.rumour": "TextCNN 0.938 (its authors); eleven punctuation counts 0.989",
    "ltcr.rumour": "F 0.906 (arXiv 2306.07201)",
    "eann_weibo.rumour": "accuracy about 0.83 with images (KDD 2018)",
    "cold.offensive": "accuracy about 0.81 (COLDETECTOR, from memory of its authors' paper)",
    "tg_spam.spam": "LSTM 0.912 accuracy (its repository)",
    "qq_group_mc.spam": "0.984 accuracy (its repository, before duplicates were taken out)",
    "smp2020_usual.sentiment": "BERT-base 0.739 over six emotions (BrownSweater)",
    "chnsenticorp.sentiment": "ERNIE 2.0 0.955 accuracy on the uncut set (arXiv 1907.12412)",
    "waimai_10k.sentiment": "all simple models 0.86–0.89",
    "weibo_senti_2k.sentiment": "best simple model 0.979 with the emoticons, 0.682 without",
}


@dataclass(frozen=True, slots=True)
class Serving:
    """The models that are measured: the fast tier, and both tiers on every post where the deep tier can run."""

    fast: FastTier
    both: Cascade | None = None

    def tiers(self) -> list[tuple[str, Measurable]]:
        """Return (name, model) of each."""
        return [("fast", self.fast), *([("both", self.both)] if self.both else [])]


def rows(path: Path, key: str = "text") -> list[Row]:
    """Return the rows of a file."""
    return [row for _number, row in _train.read_rows(path, key) if row is not None]


def public(models: Serving, _own: Path, sets: Path | None) -> Lines:
    """Every dev split with the questions that it asks, by both tiers, beside what learnt on the set and what is published."""
    yield (
        "| set | question | posts | F1 of yes (macro for values) | macro-F1 (95 %) | PR-AUC | ECE | "
        "both tiers: macro-F1 (95 %) | learnt on the set: macro-F1 | published |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for path in sorted(sets.glob("*.dev.jsonl.gz")) if sets else []:
        name = path.name.removesuffix(".dev.jsonl.gz")
        question = question_of(name.rpartition(".")[2])
        try:
            asked = rows(path)
        except ClassifierError as error:
            yield f"| {name} | {error} |{' |' * 8}"
            continue
        outcome = evaluate(models.fast, question, asked) if question else None
        if outcome is not None and question is not None:
            found = outcome.figures
            other = evaluate(models.both, question, asked) if models.both else None
            yield (
                f"| {name} | {question.label} | {found['n']:,} | {found['f1']:.3f} | {_macro_told(outcome)} | "
                f"{found['pr_auc']['value']:.3f} | {found['ece']:.3f} | {_macro_told(other) if other else '–'} | "
                f"{_at_home(path, question, asked)} | {PUBLISHED.get(name, '–')} |"
            )


def _macro_told(outcome: Outcome) -> str:
    macro = outcome.figures["macro_f1"]
    return compared(macro["value"], macro["interval_95"])


def _at_home(dev: Path, question: Question, asked: Sequence[Row]) -> str:
    """Return what one margin over the same features reaches that learnt from the set's own training split."""
    path = dev.with_name(dev.name.replace(".dev.", ".train."))
    if not path.exists():
        return "–"
    learn, asked = (_answered(question, some) for some in (rows(path), asked))
    if len({row["label"] for row in learn}) < 2:
        return "–"
    chosen = random.Random(3).sample(learn, min(_MOST, len(learn)))  # noqa: S311
    return f"{_macro(_fitted(chosen), asked):.3f}"


def _answered(question: Question, some: Sequence[Row]) -> list[Row]:
    told = ((row["text"], question.truth(row)) for row in some)
    return [{"text": text, "label": truth} for text, truth in told if truth is not None]


def claims(_models: Serving, own: Path, sets: Path | None) -> Lines:
    """Claim matching on our own campus claims and on public sets; pairs."""
    yield "| set | posts | claims | first right | in three | first suggested right | AUC of any | same said | of these right | of matches |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    cases = [("campus", own / "claims/posts.jsonl", own / "claims/claims.jsonl")]
    for name, base in (
        ("saa_event", "saa_event"), ("checked_claim", "claims_zh"), ("jiaozhen_match", "claims_zh"), ("cofacts", "cofacts"),
    ) if sets else ():  # fmt: skip
        assert sets is not None
        cases.append((name, sets / f"{name}.claim_match.dev.jsonl.gz", sets / f"{base}.claims.jsonl.gz"))
    for name, posts, known in cases:
        asked = rows(posts, "")[:_MOST_QUERIES]
        for half in ("", *sorted({str(row["set"]) for row in asked if "set" in row})):
            chosen = [row for row in asked if not half or row["set"] == half]
            found = evaluate_matching(references(rows(known, "")), chosen)
            same = found["same"]
            cells = [
                found["n"],
                found["claims"],
                found["ranked_hit_at_1"],
                found["ranked_hit_at_3"],
                found["hit_at_1"],
            ]
            cells += [found["any_match_auc"], same["said"], same["precision"], same["coverage"]]
            yield (
                f"| {name}{f' ({half})' if half else ''} | "
                + " | ".join("–" if c is None else f"{c}" for c in cells)
                + " |"
            )
    yield ""
    yield "| pairs | n | ROC-AUC | PR-AUC |"
    yield "|---|---|---|---|"
    for path in sorted(sets.glob("*.pair.dev.jsonl.gz")) if sets else []:
        found = evaluate_pairs(rows(path, ""))
        yield f"| {path.name.split('.')[0]} | {found['n']:,} | {found['roc_auc']} | {found['pr_auc']} |"


def evasion(models: Serving, own: Path, _sets: Path | None) -> Lines:
    """Recall of the disguised against the plain by kind; with the normaliser off, too; false flags by kind."""
    model = models.fast
    pairs = rows(own / "evasion/pairs.jsonl", "")
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for label in sorted({str(pair["label"]) for pair in pairs}):
        mine = [pair for pair in pairs if pair["label"] == label]
        edge = model.thresholds[label]
        shown, veiled = ([str(pair[side]) for pair in mine] for side in ("plain", "disguised"))
        chances = (model.scores(shown), model.scores(veiled), model.scores(veiled, as_written))
        said = [chance[label] >= edge for chance in chances]
        for at, pair in enumerate(mine):
            for way in (*str(pair["way"]).split("+"), f"all ({pair['set']})", "all"):
                cell = found[label, way]
                cell[0] += 1
                for side, told in enumerate(said, 1):
                    cell[side] += int(told[at])
    yield "| label | disguise | pairs | plain found | disguised found | disguised found without the normaliser |"
    yield "|---|---|---|---|---|---|"
    for (label, way), counts in sorted(found.items()):
        yield f"| {label} | {way} | {' | '.join(map(str, counts))} |"
    for half in ("tune", "held"):
        mine = [pair for pair in pairs if pair["set"] == half]
        exact = [_letters(str(pair["plain"])) == _letters(str(pair["disguised"])) for pair in mine]
        yield f"\n{half}: {sum(exact)} of {len(exact)} disguises come out letter for letter."
    innocent = rows(own / "evasion/innocent.jsonl")
    kinds = Counter(str(row["kind"]) for row in innocent)
    yield ""
    yield "| kind of innocent typing | posts | " + " | ".join(f"flagged {label}" for label in YES_NO) + " |"
    yield "|---|---|" + "---|" * len(YES_NO)
    scores = model.scores([str(row["text"]) for row in innocent])
    for kind in (*sorted(kinds), "all"):
        chosen = np.array([kind in ("all", row["kind"]) for row in innocent])
        flags = [str(int((scores[label][chosen] >= model.thresholds[label]).sum())) for label in YES_NO]
        yield f"| {kind} | {int(chosen.sum())} | " + " | ".join(flags) + " |"


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, normalise(text).text))


def criticism(models: Serving, own: Path, _sets: Path | None) -> Lines:
    """Harsh and lawful posts: flags and the highest removal scores."""
    texts = [str(row["text"]) for row in rows(own / "criticism/criticism.jsonl")]
    yield "| tier | label | posts | flagged | highest score | operating point |"
    yield "|---|---|---|---|---|---|"
    for tier, model in models.tiers():
        scores = model.scores(texts)
        for label in ("spam", "abuse"):
            edge, score = models.fast.thresholds[label], scores[label]
            yield f"| {tier} | {label} | {len(texts)} | {int((score >= edge).sum())} | {score.max():.3f} | {edge:.2f} |"


def everyday(models: Serving, _own: Path, sets: Path | None) -> Lines:
    """How often small talk of strangers is flagged: nearly all of it falsely, as little of it is about a campus."""
    yield "| source | tier | posts | " + " | ".join(f"flagged {label}" for label in YES_NO) + " |"
    yield "|---|---|---|" + "---|" * len(YES_NO)
    found = rows(sets / "pool.unlabelled.jsonl.gz") if sets else []
    chosen = random.Random(3).sample(found, min(_EVERYDAY, len(found)))  # noqa: S311
    names = sorted({str(row.get("source")) for row in chosen})
    for name in (*names, "all") if chosen else ():
        texts = [str(row["text"]) for row in chosen if name in ("all", row.get("source"))]
        for tier, model in models.tiers() if name == "all" else models.tiers()[:1]:
            scores = model.scores(texts)
            shares = (float((scores[label] >= models.fast.thresholds[label]).mean()) for label in YES_NO)
            yield (
                f"| {name} | {tier} | {len(texts):,} | "
                + " | ".join(f"{share:.1%}" for share in shares)
                + " |"
            )


def curve(_models: Serving, own: Path, _sets: Path | None) -> Lines:
    """Learning curve: F1 on the held-out parts of models fitted on ever more of the other parts."""
    corpus = _version.read_corpus(own / "domain")
    learn = [name for name in corpus.parts if name not in corpus.test]
    order = random.Random(11).sample(learn, len(learn))  # noqa: S311
    yield "| parts | posts | " + " | ".join(str(q.label) for q in QUESTIONS) + " |"
    yield "|---|---|" + "---|" * len(QUESTIONS)
    for share in (0.25, 0.5, 1.0):
        chosen = order[: max(2, round(share * len(order)))]
        examples = [e for name in chosen for e in corpus.parts[name]]
        try:
            fitted = FastTier(_train.train(examples, "curve").model)
        except ClassifierError as error:
            yield f"| {len(chosen)} | {len(examples)} | {error} |"
            continue
        figures = [evaluate(fitted, q, [e.row for e in corpus.held()]) for q in QUESTIONS]
        yield (
            f"| {len(chosen)} | {len(examples)} | "
            + " | ".join(f"{f.figures['f1']:.3f}" for f in figures if f)
            + " |"
        )


def faithfulness(models: Serving, own: Path, _sets: Path | None) -> Lines:
    """How far a score falls without the named words, and without as many others."""
    model = models.fast
    corpus = _version.read_corpus(own / "domain")
    texts = [e.text for e in corpus.held() if len(e.text) >= 8]
    chance = random.Random(11)  # noqa: S311
    yield "| label | flagged posts | mean fall without the named words | without as many others | falls at all |"
    yield "|---|---|---|---|---|"
    readings = model.classify(texts)
    for label in YES_NO:
        before, after, other = [], [], []
        for text, reading in zip(texts, readings, strict=True):
            signal = reading.signal(label)
            if signal is None or not signal.flag or not signal.reasons:
                continue
            spans = [(reason.start, reason.end) for reason in signal.reasons]
            size = sum(end - start for start, end in spans)
            at = chance.randrange(max(1, len(text) - size))
            before.append(text)
            after.append(_without(text, spans))
            other.append(_without(text, [(at, at + size)]))
        was, now, elsewhere = (model.scores(some)[str(label)] for some in (before, after, other))
        yield f"| {label} | {len(was)} | {(was - now).mean():.3f} | {(was - elsewhere).mean():.3f} | {(now < was).mean():.1%} |"


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


def groups(_models: Serving, own: Path, _sets: Path | None) -> Lines:
    """Near duplicates: pairwise precision, recall and F1 on copies made by rule from our own posts, among other posts."""
    posts = [str(row["text"]) for row in rows(own / "domain/part16.jsonl") if len(str(row["text"])) >= 12]
    chance = random.Random(5)  # noqa: S311
    stream = [(at, text) for at, text in enumerate(posts)]
    for at, text in enumerate(posts[:200]):
        stream += [(at, _edited(text, chance)) for _copy in range(3)]
    chance.shuffle(stream)
    found = Grouper().add(list(range(len(stream))), [text for _origin, text in stream])
    said, true = (
        Counter(one.group for one in found),
        Counter(origin for origin, _text in stream),
    )
    both = Counter((one.group, origin) for one, (origin, _text) in zip(found, stream, strict=True))
    hits, claimed, wanted = (sum(n * (n - 1) // 2 for n in some.values()) for some in (both, said, true))
    precision, recall = hits / max(1, claimed), hits / max(1, wanted)
    yield f"{len(stream)} posts, {wanted} pairs in truth: precision {precision:.3f}, recall {recall:.3f}, F1 {2 * precision * recall / max(1e-9, precision + recall):.3f}"


def _edited(text: str, chance: random.Random) -> str:
    """Return a copy as people make them: a greeting or an emoji added, a sign changed, a word doubled or cut."""
    acts: tuple[Callable[[str], str], ...] = (
        lambda t: "大家看看：" + t,
        lambda t: t + chance.choice(("！！", "👍", "，转", "。")),
        lambda t: t.replace("，", " ").replace("。", "！"),
        lambda t: t[: len(t) // 2] + t[len(t) // 2 + 1 :],
        lambda t: "".join(c + (" " if chance.random() < 0.1 else "") for c in t),
    )
    for act in chance.sample(acts, 2):
        text = act(text)
    return text


_MOST: Final = 4_000
_MOST_QUERIES: Final = 1_000
_EVERYDAY: Final = 20_000
_TASKS: Final = {
    "rumour": ("ced", "weibo21", "ltcr"),
    "spam": ("sms_cmcc50k", "tg_spam", "qq_group_mc"),
    "offensive": ("cold", "swsr"),
    "sentiment": ("waimai_10k", "online_shopping", "weibo_senti_2k"),
}


def _fitted(learn: Sequence[Row]) -> tuple[Any, Any]:
    """Fit one margin over our features on labelled rows (for measuring alone; nothing of it is kept)."""
    from sklearn.svm import LinearSVC

    matrix = _train.features([str(row["text"]) for row in learn])
    scale = _train.rarity(matrix)
    return scale, LinearSVC(C=1.0, tol=1e-2, random_state=_train.SEED).fit(
        _train.scaled(matrix, scale), [str(row["label"]) for row in learn]
    )


def _macro(fitted: tuple[Any, Any], asked: Sequence[Row]) -> float:
    scale, solver = fitted
    said = solver.predict(_train.scaled(_train.features([str(row["text"]) for row in asked]), scale))
    truth = np.array([str(row["label"]) for row in asked])
    scores = [
        2 * ((said == name) & (truth == name)).sum() / max(1, (said == name).sum() + (truth == name).sum())
        for name in sorted(set(truth.tolist()))
    ]
    return float(np.mean(scores))


def splits(_models: Serving, own: Path, sets: Path | None) -> Lines:
    """How much a random split flatters: against whole parts on our posts, against a later period on public rumours."""
    chance = random.Random(7)  # noqa: S311
    corpus = _version.read_corpus(own / "domain")
    yield "| set | split | macro-F1 |"
    yield "|---|---|---|"
    posts = [{"text": e.text, "label": e.row["spam"], "part": e.group} for e in corpus.all()]
    names = sorted({str(row["part"]) for row in posts})
    late = set(names[::5])
    shuffled = chance.sample(posts, len(posts))
    cut = len(posts) // 5
    yield f"| own, spam | random fifth | {_macro(_fitted(shuffled[cut:]), shuffled[:cut]):.3f} |"
    apart = [row for row in posts if row["part"] not in late], [row for row in posts if row["part"] in late]
    yield f"| own, spam | whole parts, a fifth | {_macro(_fitted(apart[0]), apart[1]):.3f} |"
    for name in ("ced",) if sets else ():
        assert sets is not None
        found = [row for row in rows(sets / f"{name}.rumour.train.jsonl.gz") if row.get("time")]
        ordered = sorted(found, key=lambda row: str(row["time"]))
        mixed = chance.sample(found, len(found))
        for told, way in (("random fifth", mixed), ("latest fifth", ordered)):
            last = len(way) * 4 // 5
            yield f"| {name} | {told} | {_macro(_fitted(way[:last]), way[last:]):.3f} |"


def transfer(_models: Serving, _own: Path, sets: Path | None) -> Lines:
    """Models of one public set asked about another of the same task (macro-F1 on dev splits)."""
    yield "| learnt from | task | " + "asked about: macro-F1 |"
    yield "|---|---|---|"
    for task, names in _TASKS.items() if sets else ():
        assert sets is not None
        for name in names:
            learn = rows(sets / f"{name}.{task}.train.jsonl.gz")
            fitted = _fitted(random.Random(3).sample(learn, min(_MOST, len(learn))))  # noqa: S311
            told = (
                f"{other} {_macro(fitted, rows(sets / f'{other}.{task}.dev.jsonl.gz')[:_MOST]):.3f}"
                for other in names
            )
            yield f"| {name} | {task} | {' · '.join(told)} |"


def held_out(models: Serving, _own: Path, _sets: Path | None) -> Lines:
    """What was measured when the version was made: see its card."""
    yield from (
        models.fast.card.split("## Measured", 1)[-1].split("## Known limits", 1)[0].strip().splitlines()
    )


PARTS: Final[Mapping[str, Callable[[Serving, Path, Path | None], Lines]]] = {
    "held-out": held_out,
    "evasion": evasion,
    "criticism": criticism,
    "everyday": everyday,
    "claims": claims,
    "groups": groups,
    "faithfulness": faithfulness,
    "public": public,
    "splits": splits,
    "transfer": transfer,
    "curve": curve,
}
"""Name of a section -> what prints it."""


__all__ = ["PARTS", "PUBLISHED", "Serving"]
