"""The deep tier: taught on a little corpus, written, read, asked where the fast tier is unsure."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import little_corpus
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from classifiers import _deep_artifact, _deep_base, _deep_export, _deep_pretrain, _deep_version, deep
from classifiers._deep_artifact import DeepModel
from classifiers._deep_base import Base
from classifiers._deep_fit import Lesson, scores_of
from classifiers._deep_net import Net, OwnHead, answers
from classifiers._deep_stack import Band, Mix, cost, fit, fit_band, mixed, unsure
from classifiers._registry import BY_LABEL, QUESTIONS
from classifiers._version import Made, read_corpus
from classifiers.deep import Cascade, DeepTier
from classifiers.fast import FastTier
from monitor.cli.main import build
from monitor.core.errors import ClassifierError
from monitor.core.model import Label
from monitor.testing import classifier_suite as suite

torch.set_num_threads(1)  # small sums: more threads only wait for each other
LESSON = Lesson(rounds=4, batch=256, rate=2e-2)
POSTS = [row["text"] for row in little_corpus.rows(9, "x")]


@pytest.fixture(scope="session")
def base(corpus: Path) -> Base:
    """A tiny encoder that has read the little corpus."""
    return _deep_pretrain.new_base(read_corpus(corpus), [], "tiny", 60.0, lambda _words: None)


@pytest.fixture(scope="session")
def deep_made(corpus: Path, base: Base) -> _deep_version.DeepMade:
    """The deep version made from the little corpus."""
    return _deep_version.make(read_corpus(corpus), "deep-1.0", base, LESSON)


@pytest.fixture(scope="session")
def counting(deep_made: _deep_version.DeepMade) -> DeepModel:
    """The same version with a say in everything, whatever was measured on so little."""
    mixes = {str(q.label): Mix(0.5, 1.0, (0.0,) * (len(q.values) or 1)) for q in QUESTIONS}
    bands = {str(q.label): Band(0.05, 0.95) for q in QUESTIONS if not q.values}
    return replace(deep_made.model, mixes=mixes, bands=bands)


@pytest.fixture(scope="session")
def cascade(made: Made, counting: DeepModel) -> Cascade:
    return Cascade(FastTier(made.model), DeepTier(counting))


# --- contract --------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", suite.CHECKS, ids=suite.names())
@pytest.mark.parametrize("everything", [False, True])
def test_the_tiers_together_keep_the_contract(
    made: Made, counting: DeepModel, everything: bool, check: suite.Check
) -> None:
    if check is suite.gives_reasons_for_flags:  # so little a model flags none of the suite's posts by itself
        mixes = {label: replace(mix, bias=(4.0,) * len(mix.bias)) for label, mix in counting.mixes.items()}
        counting = replace(counting, mixes=mixes)
    check(Cascade(FastTier(made.model), DeepTier(counting), everything))


def test_flags_of_the_deep_tier_have_reasons_that_quote_the_text(made: Made, counting: DeepModel) -> None:
    eager = replace(counting, mixes={**counting.mixes, "spam": Mix(0.0, 0.0, (5.0,))})
    model = Cascade(FastTier(made.model), DeepTier(eager), everything=True)
    for text, reading in zip(POSTS[:20], model.classify(POSTS[:20]), strict=True):
        spam = next(signal for signal in reading.signals if signal.label is Label.SPAM)
        assert spam.flag
        assert spam.reasons
        for reason in spam.reasons:
            assert text[reason.start : reason.end] == reason.text != ""
        assert reading.tier == "deep"
        assert reading.models["spam"] == f"spam@{made.model.version}+deep-1.0"


# --- the cascade -----------------------------------------------------------------------------------


def test_an_empty_band_leaves_everything_to_the_fast_tier(made: Made, counting: DeepModel) -> None:
    quick = FastTier(made.model)
    shut = replace(counting, bands={"spam": Band(0.5, 0.5)})
    assert Cascade(quick, DeepTier(shut)).classify(POSTS) == quick.classify(POSTS)
    silent = replace(counting, mixes={}, bands={})
    assert Cascade(quick, DeepTier(silent), everything=True).classify(POSTS) == quick.classify(POSTS)


def test_a_full_band_is_the_same_as_asking_about_everything(made: Made, counting: DeepModel) -> None:
    quick, tier = FastTier(made.model), DeepTier(replace(counting, bands={"spam": Band(0.0, 1.1)}))
    assert Cascade(quick, tier).classify(POSTS) == Cascade(quick, tier, everything=True).classify(POSTS)


def test_only_what_is_unsure_is_asked(cascade: Cascade, made: Made) -> None:
    quick = FastTier(made.model).classify(POSTS)
    inside = [
        any(0.05 <= reading.score(Label(label)) < 0.95 for label in cascade.thresholds) for reading in quick
    ]
    assert [reading.tier == "deep" for reading in cascade.classify(POSTS)] == inside
    assert cascade.unsure(POSTS) == pytest.approx(sum(inside) / len(inside))


def test_a_wider_band_never_asks_less() -> None:
    chances = {"spam": np.linspace(0, 1, 101)}
    shares = [
        unsure({"spam": Band(0.5 - width, 0.5 + width)}, chances).mean() for width in (0, 0.1, 0.2, 0.4, 0.6)
    ]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_what_speaks_more_for_an_answer_never_makes_it_less_likely() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random(400) < 0.3).astype(np.int64)
    fast = np.clip(0.3 + 0.4 * (truth - 0.3) + 0.2 * rng.normal(size=400), 0.01, 0.99)[:, None]
    against = -(truth * 2.0 + rng.normal(size=400))[:, None]  # a deep tier that is wrong
    mix = fit(fast, against, truth)
    assert mix.deep == 0
    right = fit(fast, -against, truth)
    assert right.fast > 0
    assert right.deep > 0
    rising = mixed(right, np.full((9, 1), 0.4), np.linspace(-3, 3, 9)[:, None])[:, 0]
    assert (np.diff(rising) > 0).all()


def test_a_band_is_as_wide_as_it_pays() -> None:
    fast = np.array([0.1, 0.3, 0.45, 0.55, 0.7, 0.9])
    both = np.array([0.1, 0.8, 0.9, 0.2, 0.7, 0.9])
    truth = np.array([0, 1, 1, 0, 1, 1])
    saved = cost(fast, truth, 0.5, 1.0) - cost(both, truth, 0.5, 1.0)
    band = fit_band(fast, saved, threshold=0.5, price=0.02)
    assert band.holds(fast).tolist() == [False, True, True, True, False, False]
    assert not fit_band(fast, saved, 0.5, price=2.0).holds(fast).any()
    surest = fit_band(np.array([0.4, 0.5, 0.9]), np.array([1.0, 0.0, 0.0]), 0.0, price=0.02)
    assert surest.holds(np.array([0.4, 0.5, 0.9])).tolist() == [True, False, False]


def test_scores_and_readings_agree(cascade: Cascade) -> None:
    scores = cascade.scores(POSTS)
    for row, reading in enumerate(cascade.classify(POSTS)):
        for label in cascade.thresholds:
            assert reading.score(Label(label)) == pytest.approx(float(scores[label][row]), abs=2e-3)
    moods = np.column_stack([scores[f"sentiment={value}"] for value in BY_LABEL[Label.SENTIMENT].values])
    assert moods.sum(axis=1) == pytest.approx(1.0, abs=1e-3)


# --- the version -----------------------------------------------------------------------------------


def test_the_graph_answers_like_the_network(base: Base) -> None:
    torch.manual_seed(3)
    net = Net(base.encoder, base.width, answers(QUESTIONS)).eval()
    model = DeepModel(
        "deep-t", b"", base.pieces.to_str(), tuple(answers(QUESTIONS)), base.longest, {}, {}, {}
    )
    exact = DeepTier(replace(model, graph=_deep_export.export(net, whole=False)))
    small = DeepTier(replace(model, graph=_deep_export.export(net)))
    texts = POSTS[:10]
    posts = [base.pieces.encode(text).ids[: base.longest] for text in texts]
    wanted = scores_of(net, posts)
    for tier, allowed in ((exact, 1e-4), (small, 0.2)):
        found = np.array([one.score() for one in tier.read(texts)])
        assert np.abs(found - wanted).max() < allowed
    assert len(small.model.graph) < len(exact.model.graph)


def test_it_is_measured_on_parts_that_it_has_not_seen(deep_made: _deep_version.DeepMade) -> None:
    found = deep_made.evaluation
    assert found["held_out_parts"] == ["part3"]
    assert deep_made.facts["measured_without"] == ["part3.jsonl"]
    for tier in ("fast", "deep", "both", "cascade"):
        assert set(found["held_out"][tier]) == {str(q.label) for q in QUESTIONS}
        assert found["held_out"][tier]["spam"]["n"] == len(little_corpus.rows(3, "l3"))
    assert found["held_out"]["deep"]["spam"]["f1"] > 0.5  # it has learnt something
    assert "| spam |" in deep_made.model.card


def test_a_question_that_it_does_not_help_is_left_to_the_fast_tier() -> None:
    rng = np.random.default_rng(2)
    rows = [{"text": str(i), "spam": int(i % 4 == 0), "abuse": int(i % 3 == 0)} for i in range(600)]
    examples = [_deep_version.Example(row["text"], row, f"part{i % 5}") for i, row in enumerate(rows)]
    spam = np.array([row["spam"] for row in rows])
    questions = (BY_LABEL[Label.SPAM], BY_LABEL[Label.ABUSE])
    fast = {"spam": np.full((600, 1), 0.25), "abuse": np.full((600, 1), 0.33)}
    scores = np.column_stack((4.0 * spam - 2 + rng.normal(size=600), rng.normal(size=600)))
    counted = _deep_version.count(
        _deep_version.Scored(examples[:500], {k: v[:500] for k, v in fast.items()}, scores[:500]),
        _deep_version.Scored(examples[500:], {k: v[500:] for k, v in fast.items()}, scores[500:]),
        questions,
    )
    assert set(counted.mixes) == {"spam"}
    assert (
        counted.evaluation["held_out"]["cascade"]["abuse"] == counted.evaluation["held_out"]["fast"]["abuse"]
    )
    assert counted.evaluation["held_out"]["both"]["spam"]["f1"] > 0.8


def test_written_and_read_again_it_answers_the_same(
    deep_made: _deep_version.DeepMade, made: Made, tmp_path: Path
) -> None:
    deep_made.save(tmp_path / "models-deep" / "deep-1.0")
    made.save(tmp_path / "models" / "1.0")
    models = tmp_path / "models"
    _deep_artifact.use(models, "deep-1.0")
    again = _deep_artifact.read(_deep_artifact.active_folder(models))
    assert again.mixes == deep_made.model.mixes
    assert again.bands == deep_made.model.bands
    assert "deep-1.0" in deep.facts(models)
    one, other = DeepTier(deep_made.model).read(POSTS[:5]), DeepTier(again).read(POSTS[:5])
    assert all((a.votes == b.votes).all() for a, b in zip(one, other, strict=True))
    assert [v.version for v in _deep_artifact.versions(models) if v.serves] == ["deep-1.0"]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
def test_a_damaged_version_is_refused(deep_made: _deep_version.DeepMade, tmp_path: Path, name: str) -> None:
    deep_made.save(tmp_path / "v")
    path = tmp_path / "v" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ClassifierError):
        _deep_artifact.read(tmp_path / "v")


@pytest.mark.parametrize(
    ("change", "word"),
    [({"normaliser_version": 0}, "train it again"), ({"format": 9}, "unknown format"), ({"mixes": 3}, "fit")],
)
def test_a_manifest_that_does_not_fit_is_refused(
    deep_made: _deep_version.DeepMade, tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    deep_made.save(tmp_path / "v")
    path = tmp_path / "v" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(ClassifierError, match=word):
        _deep_artifact.read(tmp_path / "v")


def test_what_is_no_graph_is_refused(counting: DeepModel) -> None:
    with pytest.raises(ClassifierError, match="cannot be opened"):
        DeepTier(replace(counting, graph=b"nothing"))


# --- without onnxruntime ---------------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without onnxruntime."""
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(deep, "available", lambda: False)


@pytest.mark.usefixtures("bare")
def test_without_onnxruntime_auto_is_the_fast_tier_and_deep_says_what_is_missing(
    counting: DeepModel, tmp_path: Path
) -> None:
    assert isinstance(deep.load_auto(tmp_path / "models"), FastTier)
    with pytest.raises(ClassifierError, match="onnxruntime"):
        deep.load(tmp_path / "models")
    with pytest.raises(ClassifierError, match="onnxruntime"):
        DeepTier(counting)
    assert "not in use" in deep.facts(tmp_path / "models")


def test_a_damaged_deep_version_leaves_auto_to_the_fast_tier_and_is_told(
    deep_made: _deep_version.DeepMade, tmp_path: Path
) -> None:
    models, told = tmp_path / "models", list[str]()
    deep_made.save(tmp_path / "models-deep" / "deep-1.0")
    _deep_artifact.use(models, "deep-1.0")
    assert isinstance(deep.load_auto(models, told.append), Cascade)
    assert told == []
    (tmp_path / "models-deep" / "deep-1.0" / "model.onnx").write_bytes(b"")
    assert isinstance(deep.load_auto(models, told.append), FastTier)
    assert len(told) == 1
    assert "deep-1.0" in told[0]
    with pytest.raises(ClassifierError):
        deep.load(models)


# --- the commands ----------------------------------------------------------------------------------


def call(*arguments: str | Path, given: str = "") -> Result:
    words = [str(word) for word in arguments]
    return CliRunner().invoke(build(words), words, input=given)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data directory."""
    monkeypatch.setenv("HUIYIN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_deep_version_is_made_used_and_rolled_back_by_commands(data: Path, corpus: Path) -> None:
    made = call(
        "train", "all", "--deep", "--preset", "tiny", "--rounds", "1", "--minutes", "0.05",
        "--corpus", corpus, "--version", "7",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    found = json.loads(made.stdout)
    assert found["version"] == "deep-7"
    assert set(found["held_out_f1"]) == {"fast", "deep", "both", "cascade"}
    assert call("models", "use", "deep-7").exit_code == 0
    listed = [json.loads(line) for line in call("models", "list", "--json").stdout.splitlines()]
    assert [row["version"] for row in listed if row["serves"] and row["version"].startswith("deep")] == [
        "deep-7"
    ]
    row = json.loads(call("classify", "--tier", "deep", given="收到").stdout)
    assert row["tier"] in ("deep", "fast")  # fast when it counts for nothing
    assert json.loads(call("models", "rollback", "--deep").stdout) == {"serves": "deep-shipped"}
    assert (data / "models-deep" / "deep-7" / "base" / "config.json").exists()


def test_a_checkpoint_is_added_by_the_command(data: Path, tmp_path: Path) -> None:
    added = call("models", "add", checkpoint(tmp_path / "little-bert"))
    assert added.exit_code == 0, added.stderr
    assert json.loads(added.stdout) == {"base": "little-bert"}
    assert (tmp_path / "data" / "models-bases" / "little-bert" / "config.json").exists()


@pytest.mark.usefixtures("bare")
def test_without_onnxruntime_the_command_says_so_once_and_answers(data: Path) -> None:
    done = call("classify", given="收到\n收到")
    assert done.exit_code == 0
    assert done.stderr.count("onnxruntime") == 1
    assert len(done.stdout.splitlines()) == 2
    deep_only = call("classify", "--tier", "deep", given="收到")
    assert deep_only.exit_code == 1
    assert "onnxruntime" in str(deep_only.exception)


@pytest.mark.parametrize(
    "words",
    [
        ("spam", "--deep"),
        ("all", "--deep", "--preset", "huge"),
        ("all", "--deep", "--own-head"),
        ("all", "--deep", "--own-head", "--base", "x", "--pool", "x.jsonl"),
    ],
)
def test_wrong_use_of_deep_training_is_refused(data: Path, words: Sequence[str]) -> None:
    done = call("train", *words)
    assert done.exit_code != 0
    assert done.stdout == ""


# --- checkpoints of Hugging Face -------------------------------------------------------------------

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def checkpoint(folder: Path, labels: Sequence[str] = ()) -> Path:
    """Write a little random BERT as `save_pretrained` writes it."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

    folder.mkdir(parents=True)
    letters = sorted({char for text in POSTS for char in text})
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*WORDS, *letters]), encoding="utf-8")
    config = BertConfig(
        vocab_size=len(WORDS) + len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        id2label=dict(enumerate(labels)) or None,
    )
    torch.manual_seed(5)
    model = BertForSequenceClassification(config) if labels else BertModel(config)
    model.save_pretrained(folder)
    BertTokenizer(str(vocabulary)).save_pretrained(folder)
    return folder


def test_a_checkpoint_from_a_folder_is_added_taught_and_answers(
    corpus: Path, made: Made, tmp_path: Path
) -> None:
    name = _deep_base.add(tmp_path / "models", str(checkpoint(tmp_path / "little-bert")))
    found = _deep_base.read(tmp_path / "models", name, QUESTIONS)
    assert (found.width, found.longest, found.head) == (16, 62, {})
    made_deep = _deep_version.make(read_corpus(corpus), "deep-bert", found, replace(LESSON, rounds=1))
    votes = DeepTier(made_deep.model).read(POSTS[:3])
    assert all(np.isfinite(one.votes).all() for one in votes)
    with pytest.raises(ClassifierError, match="already"):
        _deep_base.add(tmp_path / "models", str(tmp_path / "little-bert"))


@pytest.mark.parametrize("own", [True, False])
def test_an_encoder_reads_on_in_posts_without_labels(
    own: bool, base: Base, data: Path, corpus: Path, tmp_path: Path
) -> None:
    """Our own encoder and a foreign checkpoint: another encoder comes out, with the vocabulary that it had."""
    if own:
        folder = tmp_path / "start"
        _deep_base.save(folder, base.pieces, base.encoder, base.longest)
    else:
        folder = checkpoint(tmp_path / "start")
    pool = tmp_path / "pool.jsonl"
    lines = [json.dumps({"text": f"{text}，{text}"}, ensure_ascii=False) for text in POSTS]
    pool.write_text("\n".join(lines), encoding="utf-8")
    done = call(
        "train", "all", "--deep", "--base", folder, "--pool", pool, "--preset", "tiny", "--rounds", "1",
        "--minutes", "60", "--corpus", corpus, "--version", "8", "--out", tmp_path / "made",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    before, after = (
        _deep_base.read(data, str(where), QUESTIONS) for where in (folder, tmp_path / "made" / "base")
    )
    assert before.pieces.get_vocab() == after.pieces.get_vocab()
    assert [before.pieces.encode(text).ids for text in POSTS] == [
        after.pieces.encode(text).ids for text in POSTS
    ]
    was, now = (dict(one.encoder.named_parameters()) for one in (before, after))
    assert was.keys() == now.keys()
    moved = [not torch.allclose(was[name], now[name], atol=1e-4) for name in was]
    assert sum(moved) > len(moved) / 2


def test_marks_are_never_hidden_while_reading_on(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    honest = _deep_pretrain.Pretrainer.forward

    def watch(self: Any, ids: Any, mask: Any, gaps: Any, others: Any) -> Any:
        seen.append((ids, mask, gaps))
        return honest(self, ids, mask, gaps, others)

    monkeypatch.setattr(_deep_pretrain.Pretrainer, "forward", watch)
    posts = [post.ids for post in base.pieces.encode_batch(POSTS)]
    mine = replace(base, encoder=copy.deepcopy(base.encoder))
    _deep_pretrain.pretrain(mine, posts, _deep_pretrain.PRESETS["tiny"], _deep_pretrain.Limit(20))
    assert any(gaps.any() for _ids, _mask, gaps in seen)
    for ids, mask, gaps in seen:
        assert not (gaps & ((ids < 5) | (mask == 0))).any()


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "no line"), (b"{\n\xff\x00broken\n[]\n", "no line"), (None, "cannot be read")]
)
def test_a_pool_that_holds_no_post_is_refused(
    content: bytes | None, told: str, data: Path, corpus: Path, base: Base, tmp_path: Path
) -> None:
    pool = tmp_path / "pool.jsonl"
    if content is not None:
        pool.write_bytes(content)
    with pytest.raises(ClassifierError, match=told):
        _deep_pretrain.read_on(base, read_corpus(corpus), [pool], "tiny", 60.0, lambda _words: None)


def test_lines_of_a_pool_that_are_no_posts_are_counted(corpus: Path, base: Base, tmp_path: Path) -> None:
    pool, said = tmp_path / "pool.jsonl", []  # type: Path, list[str]
    pool.write_bytes(b'{"text": "\xe9\xa3\x9f\xe5\xa0\x82"}\nbroken\n{"no": 1}\n')
    _deep_pretrain.read_on(base, read_corpus(corpus), [pool], "tiny", 0.001, said.append)
    assert said[0] == "pool: 1 posts, 2 lines that are none"


def test_a_checkpoint_with_a_head_of_its_own_is_measured_as_it_is(corpus: Path, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "spam-bert", ("ham", "spam"))
    found = _deep_base.read(tmp_path / "models", str(folder), QUESTIONS, own_head=True)
    assert found.head == {"spam": [0, 1]}
    made_deep = _deep_version.make(read_corpus(corpus), "deep-spam", found, LESSON)
    assert made_deep.model.answers == (("spam", "1"),)
    (votes,) = DeepTier(made_deep.model).read(["兼职刷单"])
    net = OwnHead(found.encoder, [0, 1], yes_no=True)
    wanted = scores_of(net, [found.pieces.encode("兼职刷单").ids])
    assert votes.score() == pytest.approx(wanted[0], abs=0.2)


def test_labels_that_answer_nothing_of_ours_are_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "odd", ("LABEL_0", "LABEL_1"))
    with pytest.raises(ClassifierError, match="answer none"):
        _deep_base.read(tmp_path / "models", str(folder), QUESTIONS, own_head=True)


def test_a_name_that_cannot_be_fetched_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ClassifierError, match="name the folder instead"):
        _deep_base.add(tmp_path / "models", "hfl/chinese-macbert-base")
    assert not any((tmp_path / "models-bases").iterdir())
    with pytest.raises(ClassifierError, match="models add"):
        _deep_base.read(tmp_path / "models", "hfl/chinese-macbert-base", QUESTIONS)
    with pytest.raises(ClassifierError, match="named like"):
        _deep_base.add(tmp_path / "models", "../secrets")


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ClassifierError, match="no checkpoint"):
        _deep_base.add(tmp_path / "models", str(tmp_path / "junk"))
    assert not any((tmp_path / "models-bases").iterdir())
