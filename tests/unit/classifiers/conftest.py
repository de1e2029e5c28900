"""A little corpus and the model version made from it, once in a session."""

from __future__ import annotations

from pathlib import Path

import little_corpus
import pytest

from classifiers import _version


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the little corpus."""
    return little_corpus.write(tmp_path_factory.mktemp("little") / "domain")


@pytest.fixture(scope="session")
def made(corpus: Path) -> _version.Made:
    """The version made from the little corpus."""
    return _version.make(_version.read_corpus(corpus), "1.0")
