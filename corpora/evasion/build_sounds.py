"""Build ``classifiers/sounds.txt``: characters by sound and commonness, words that people hide, their ordinary doubles.

    python corpora/evasion/build_sounds.py WORDS.txt ORDINARY.jsonl[.gz] ... > classifiers/sounds.txt

A word that people hide (``微信``) is written with other characters of the same sound (``薇芯``). Such a pair is taken
for the word unless ordinary text holds it (``威信``, or across two words ``因为|信任``) or would hold it by chance, both
characters being common. Ordinary pairs and the commonness of characters are counted in the ORDINARY files and the
dictionary; only counts are taken from the files, no text. Needs pypinyin and jieba.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import jieba
from pypinyin import lazy_pinyin

from classifiers._sounds import RARE, SCALE
from classifiers._text import normalise_all

_BATCH = 4096


def characters() -> list[str]:
    """Return the characters of GB 2312."""
    cells = [(row, cell) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF)]
    return [char for pair in cells if (char := bytes(pair).decode("gb2312", "ignore"))]


def texts(path: Path) -> Iterator[str]:
    """Yield the ``text`` of every line."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        for line in lines:
            yield str(json.loads(line)["text"])


def counted(paths: list[Path]) -> tuple[Counter[str], set[str]]:
    """Return how often each character stands in the files, and every pair that stands there or in the dictionary."""
    entries = jieba.get_dict_file().read().decode().split()
    pairs = {one + other for entry in entries for one, other in pairwise(entry)}
    often: Counter[str] = Counter()
    for path in paths:
        rows = list(texts(path))
        for low in range(0, len(rows), _BATCH):
            for text in normalise_all(rows[low : low + _BATCH]):
                often.update(text)
                pairs.update(one + other for one, other in pairwise(text))
    return often, pairs


def main() -> None:
    """Write the table to stdout."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").split()
    words = {
        word: sounds.split("_") if sounds else lazy_pinyin(word)
        for word, _, sounds in (line.partition("=") for line in dict.fromkeys(lines))
        if len(word) > 1
    }
    often, pairs = counted([Path(name) for name in sys.argv[2:]])
    total = often.total()
    rank = {
        char: min(9, max(0, int(math.log2(total / (often[char] + 0.5)) / SCALE))) for char in characters()
    }
    sounds: dict[str, list[str]] = defaultdict(list)
    for char in characters():
        sounds[lazy_pinyin(char)[0]].append(char)
    sys.stdout.write("# syllable, then each character with how rare it is (0-9)\n")
    for sound in sorted(sounds):
        sys.stdout.write(f"{sound} {''.join(f'{char}{rank[char]}' for char in sounds[sound])}\n")
    sys.stdout.write("# word, its syllables, pairs of the same sound that ordinary text holds\n")
    for word, syllables in words.items():
        alike = product(*(sounds.get(one, []) for one in syllables)) if len(word) == 2 else ()
        known = {a + b for a, b in alike if rank[a] + rank[b] >= RARE} & pairs - {word}
        sys.stdout.write(f"= {word} {'_'.join(syllables)} {' '.join(sorted(known))}".rstrip() + "\n")


if __name__ == "__main__":
    main()
