"""Words that are written by their sound to get past a filter: with other characters, or in Latin letters.

Two tables. ``_TABLE`` below is written by hand and holds what only nearly sounds alike, too. ``sounds.txt`` is built by
``corpora/evasion/build_sounds.py``: which characters sound alike, how rare each is, which words people hide, and which
pairs of the same sound ordinary text holds. Of the others a pair is taken for the word where both characters are so
rare that chance does not bring them together. Neither table holds a pair that means something itself (威信, 简直, 克服,
出生, 健人): each was looked up in 300,000 everyday posts and in the dictionary. Data, not code: what they hold is part
of the normaliser's version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

SCALE: Final = 2.4  # bits of one step of rarity
RARE: Final = 10  # steps of both characters: expected less than once in some twenty million pairs

_FILE: Final = Path(__file__).with_name("sounds.txt")
_FULL_FROM: Final = 4  # letters: a shorter run is a word of its own too often
# A surname before another character is a name, not a disguise.
_SURNAMES: Final = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许邓冯韩曹曾彭萧蔡潘田董袁于余叶蒋杜苏魏程吕丁沈任姚卢傅钟姜崔谭"
    "廖范汪陆金石戴贾韦夏邱方侯邹熊孟秦白江阎薛尹段雷黎史龙陶贺顾毛郝龚邵万钱严赖覃洪武莫孔汤向常温康施文牛樊葛邢安齐"
)

_TABLE: Final = """
兼职 尖职 坚职 煎职 监职 艰职 肩职 兼只 兼直 兼执 兼植 兼织 尖直 蒹职 搛职
刷单 唰单 刷丹 耍单 刷旦 涮单
代写 贷写 戴写 黛写 玳写 袋写 岱写
论文 轮文 纶文 抡文 仑文 沦文 伦文 论纹 论闻
贷款 代款 袋款 戴款 贷宽 岱款 黛款
微信 薇信 徽信 维信 葳信 嶶信 伟信 唯信 威芯 微芯 微伈 薇芯 薇心 维芯 微忻 薇伈 徽芯
私聊 思聊 丝聊 司聊 斯聊 撕聊 私撩 俬聊
私信 思信 俬信
扫码 嫂码 扫玛 扫犸
进群 晋群 浸群 进裙
加群 佳群 嘉群 伽群 茄群 加裙
返利 反利 返俐 饭利
佣金 拥金
日结 曰结 日洁 日桔
发票 法票 发漂 伐票 砝票 髪票
代开 贷开 岱开
办证 伴证 瓣证 扮证
套现 淘现 掏现 陶现
彩票 采票 菜票 彩漂
赌博 睹博 渡博 赌搏
约炮 约泡 月炮 箹炮
裸聊 倮聊 罗聊 裸撩 螺聊
期刊 其刊 奇刊 旗刊 棋刊 期堪
查重 查虫 茬重 察重 查崇
降重 降虫 绛重 奖重
挂靠 褂靠 卦靠
学历 学厉 雪历 学沥
包过 苞过
代考 贷考 戴考
征信 怔信 症信
黑户 嘿户
博彩 搏彩 勃彩 铂彩
红包 宏包 洪包 鸿包 虹包
充值 充直
理财 里财
高薪 膏薪
客服 刻服 喀服
傻逼 沙比 煞笔 傻比 傻币 傻毕 煞比 沙币 傻笔 纱比 沙壁 傻壁 煞逼 沙逼 傻批 傻笔
傻叉 煞叉 沙叉 傻插
脑残 恼残 脑惨 闹残
去死 去屎 趣死
废物 废勿
垃圾 辣鸡 拉圾 垃级 垃机 辣叽 喇叽
贱人 溅人
畜生 畜牲 矗生
王八 忘八 亡八
人渣 人碴 仁渣 人喳
滚蛋 滚旦 衮蛋
混蛋 浑蛋 婚蛋 混旦
智障 制杖 智杖 质障
婊子 表子 裱子
杂种 砸种 咂种
弱智 弱志
"""


def sounds() -> dict[str, str]:
    """Return how it is written by hand's table -> the word that is meant; both have two characters."""
    rows = [line.split() for line in _TABLE.split("\n") if line]
    return {written: word for word, *ways in rows for written in ways}


@dataclass(frozen=True, slots=True)
class Hidden:
    """What ``sounds.txt`` holds.

    Attributes:
        syllable: each character's sound, without its tone.
        keys: pairs of characters that stand for a hidden word, ascending, as ``first << 32 | second``.
        meant: for each key the two characters that are meant.
        words: the hidden words themselves.
        after, before: (character, syllable) and (syllable, character) -> the character that the syllable stands for.
        full: letters of a whole word -> the word.
    """

    syllable: dict[str, str] = field(repr=False)
    keys: npt.NDArray[np.int64] = field(repr=False)
    meant: npt.NDArray[np.uint32] = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    after: dict[tuple[str, str], str] = field(repr=False)
    before: dict[tuple[str, str], str] = field(repr=False)
    full: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Word:
    """One hidden word, its syllables, and the pairs of the same sound that are ordinary."""

    word: str
    syllables: tuple[str, ...]
    ordinary: tuple[str, ...]


@lru_cache(maxsize=1)
def hidden() -> Hidden:
    """Read ``sounds.txt`` once in a process (about 0.05 s)."""
    alike, words = _read(_FILE)
    keys, meant = _pairs(alike, words)
    after: dict[tuple[str, str], str] = {}
    before: dict[tuple[str, str], str] = {}
    full: dict[str, str] = {}
    for one in words:
        letters = "".join(one.syllables)
        if len(letters) >= _FULL_FROM:
            full.setdefault(letters, one.word)
        for at in range(len(one.word) - 1):
            after.setdefault((one.word[at], one.syllables[at + 1]), one.word[at + 1])
            before.setdefault((one.syllables[at], one.word[at + 1]), one.word[at])
    syllable = {char: sound for sound, chars in alike.items() for char, _rank in chars}
    return Hidden(syllable, keys, meant, tuple(one.word for one in words), after, before, full)


def _read(path: Path) -> tuple[dict[str, list[tuple[str, int]]], list[_Word]]:
    """Return syllable -> (character, rarity), and the words."""
    alike: dict[str, list[tuple[str, int]]] = {}
    words: list[_Word] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            word, syllables, *ordinary = line[2:].split(" ")
            words.append(_Word(word, tuple(syllables.split("_")), tuple(ordinary)))
        elif not line.startswith("#"):
            sound, chars = line.split(" ")
            alike[sound] = [(chars[at], int(chars[at + 1])) for at in range(0, len(chars), 2)]
    return alike, words


def _pairs(
    alike: dict[str, list[tuple[str, int]]], words: Sequence[_Word]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Return every pair that stands for a word, and what is meant; the hand's table goes first."""
    by_hand = sounds()
    barred = {one.word for one in words} | {pair for one in words for pair in one.ordinary}
    barred |= {*by_hand.values(), *by_hand}
    closed = np.array([_key(pair) for pair in barred if len(pair) == 2], dtype=np.int64)
    codes = {sound: _codes(chars) for sound, chars in alike.items()}
    names = np.array(sorted(map(ord, _SURNAMES)), dtype=np.int64)
    rows = [one for one in words if len(one.word) == 2 and all(sound in codes for sound in one.syllables)]
    found = [_like(codes[one.syllables[0]], codes[one.syllables[1]], names) for one in rows]
    pairs = np.array([[ord(char) for char in one.word] for one in rows], dtype=np.uint32)
    keys, meant = np.concatenate(found), np.repeat(pairs, list(map(len, found)), axis=0)
    free = ~np.isin(keys, closed)
    written = np.array([_key(one) for one in by_hand], dtype=np.int64)
    words_by_hand = np.array([[ord(char) for char in word] for word in by_hand.values()], dtype=np.uint32)
    distinct, first = np.unique(np.concatenate((written, keys[free])), return_index=True)
    return distinct, np.concatenate((words_by_hand, meant[free]))[first]


_Codes = npt.NDArray[np.int64]


def _codes(chars: Sequence[tuple[str, int]]) -> tuple[_Codes, _Codes]:
    """Return the code points of characters, and how rare each is."""
    return (
        np.array([ord(char) for char, _rare in chars], dtype=np.int64),
        np.array([rare for _char, rare in chars], dtype=np.int64),
    )


def _like(first: tuple[_Codes, _Codes], second: tuple[_Codes, _Codes], names: _Codes) -> _Codes:
    """Return all pairs of two sounds that chance does not bring together, as keys."""
    (ones, rare), (others, rarer) = first, second
    unlikely = (rare[:, None] + rarer >= RARE) & ~np.isin(ones, names)[:, None]
    pairs: _Codes = ((ones[:, None] << 32) | others)[unlikely]
    return pairs


def _key(pair: str) -> int:
    return ord(pair[0]) << 32 | ord(pair[1])
