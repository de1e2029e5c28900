"""What a statement commits to and a retelling may not change: numbers, dates, places, denial, direction, and of what.

A rumour's mutations differ from it in exactly these while nearly all words stay, so no likeness of words may call two
statements the same that differ here. Everything is a table or a pattern over the normalised text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

_CLAUSE: Final = re.compile(r"[。!?;！？；，\n]|\.(?!\d)|,(?!\d)|\s{2,}")

# --- numbers and dates -----------------------------------------------------------------------------

_DIGITS: Final = {char: at for at, char in enumerate("零一二三四五六七八九")} | {
    "两": 2,
    "俩": 2,
    "仨": 3,
    "〇": 0,
}
_TENS: Final = {"十": 10, "百": 100, "千": 1000}
_UNITS: Final = "成|折|%|倍|元|块|年|月|日|号|周|天|小时|点|人|例|岁|次|回|楼|级|篇|个|名|位|部|期|两"
_NUMBER: Final = re.compile(
    rf"(?P<of>百|千)分之(?P<parts>\d+(?:\.\d+)?|[零〇一二两三四五六七八九十百]+)|"
    rf"(?P<arabic>\d+(?:\.\d+)?)\s*(?P<scale>[万亿千])?\s*(?P<unit>个点|{_UNITS})?|"
    rf"(?P<chinese>[零〇一二两三四五六七八九十百千]+)(?P<chinese_scale>[万亿])?(?P<chinese_unit>个点|{_UNITS})|"
    r"(?P<bare>[一二两三四五六七八九][十百千][一二两三四五六七八九十百]*)|"
    r"(?P<half>一半|对半|减半|半数|腰斩)|(?P<double>翻倍|翻番|加倍|涨一倍|翻一番)|(?P<pair>俩|仨)"
)
_LEFT: Final = re.compile(r"(?:只|才)[给发剩有]?$|[剩打]$")  # 只给七成: what is gone is the rest
_MONTH: Final = re.compile(r"[份起初底中末到\d一二三]")
_SCALES: Final = {"万": 1e4, "亿": 1e8, "千": 1e3, None: 1.0}
_DATE_UNITS: Final = frozenset("年月日号")
_SHARES: Final = {"成": 0.1, "折": 0.1, "%": 0.01, "个点": 0.01}
_PLACE_NEXT: Final = ("楼", "门", "院", "线", "食堂", "教室", "会议室", "公寓", "窗口")
# A moment that a post about the present does not name, or names for emphasis.
_NOW: Final = frozenset(("今年", "本学期", "今天", "这周", "本周", "本月"))
_SAME_DAY: Final = (
    (re.compile(r"下个?月"), "下月"),
    (re.compile(r"下个?(?:星期|礼拜|周)"), "下周"),
    (re.compile(r"下个?学期|新学期"), "下学期"),
    (re.compile(r"年底(?!那|绩效|奖)|年末|岁末"), "年底"),
    (re.compile(r"夏天|暑期|暑假"), "暑假"),
    (re.compile(r"后年"), "后年"),
    (
        re.compile(
            r"今天|明天|后天|昨天|今晚|明晚|本周|这周|上周|本月|上月|明年|今年|去年|春节|国庆|寒假|本学期"
        ),
        "",
    ),
    (re.compile(r"(?:周|星期|礼拜)[一二三四五六日天]"), ""),
)

# --- denial ----------------------------------------------------------------------------------------

_DENIED: Final = re.compile(
    r"谣言|辟谣|造谣|假消息|否认|否定|并非|没有的事|不实|不属实|澄清|子虚乌有|(?<!真的)假的(?![吗?])"
)
_NO_NEGATION: Final = re.compile(
    r"是不是|有没有|能不能|会不会|要不要|可不可以|不知道|不会吧|不能吧|不少|不仅|不但|不过|差不多|不得不|不要外传|勿外传|不管|不论|"
    r"(?:绩效|钱|工资)?没了|非升即走|不满|没完|不了解|对不起|不好意思|不是吧|听说没|没听说"
)
_NEGATED: Final = re.compile(
    r"(?:不|没有|没|未|无|勿|别)(?:会|再|要|让|用|得|能|准|给|是|必|曾)?([㐀-鿿]{1,2})"
)

# --- which way, and of what ------------------------------------------------------------------------

_OPPOSITES: Final = (
    (
        "涨|上涨|上调|提高|提升|增加|增长|增至|加薪|扩大|变多|翻倍|翻番|加倍|升到|升至|多发|提速|延长",
        "降|下降|下调|降低|减少|缩减|削减|砍|扣|减薪|缩小|减半|腰斩|少发|打[一二三四五六七八九]折|下来|缩短|缩水",
    ),
    (
        "取消|停止|停办|停发|叫停|撤销|不办|没了|没有了|停运|不跑|不给|不发|不再|停了|停用|全停|不办了|解聘|辞退|不续|清退",
        "恢复|继续|保留|重启|重开|照常|照发|增开|增设|续签|续聘|转为在编|补发|补缴",
    ),
    ("提前", "推迟|延后|延期|推后|延迟"),
    ("开放|开通|启用|开门", "关闭|停用|封闭|关门|闭馆|封馆"),
    ("允许|可以", "禁止|不准|不许|严禁"),
    ("安全|无害|有益|合格|达标", "有毒|有害|致癌|危险|超标|不合格|检出|查出"),
    ("新增|招聘|扩招|都能上", "裁员|裁撤|辞退|缩招|只招|不收"),
    ("免费|免收|自愿", "收费|自费|强制|计费"),
    ("在编|编内", "编外|非在编|非编|合同工"),
    ("退休|返聘", "在职"),
    ("买下|购入", "卖|转手|出让"),
    ("加装|再装|新建", "拆"),
    ("补缴|缴清", "欠缴|断缴|没交|断了"),
    ("发奖金|发了奖金", "拖欠|欠薪|讨薪"),
    ("弹性|不用坐班", "必须坐班|全面坐班|坐班满"),
    ("必须|(?<!不)(?<!不再)要求|门槛|强制", "不再要求|不要求|不用|不必|无需|取消要求"),
    ("扩大|增加|都能", "取消|停办|不办|只招"),
    ("可以留用|留用|自留", "上交|上缴|收走|全交"),
    ("提高|上调", "不再|取消|不报|全自费"),
)
_ENDED: Final = (1, 0)  # the side of 取消
_OPPOSED: Final = tuple((re.compile(one), re.compile(other)) for one, other in _OPPOSITES)

# Of one group a statement means one: another one in its place is another statement.
_RIVALS: Final = (
    ("东区|东边|东门|东食堂", "西区|西边|西门|西食堂|西餐厅|西区餐厅", "南区|南线|南边|南门", "北区|北线|北边|北门"),
    (
        "附小|附属小学", "附中|附属中学", "幼儿园|附幼", "图书馆|馆里", "体育馆", "食堂|餐厅|饭堂", "校医院|医务室", "实验楼|实验室",
        "教学楼|综合楼", "操场|跑道", "宿舍区|家属院", "教师公寓|青年公寓|教工公寓", "周转房|周转公寓", "体检中心", "新校区", "保安", "保洁",
        "车棚",
    ),
    ("副教授|副高", "(?<!副)教授|正高", "讲师"),
    ("学生", "老师|教师|职工|教工|同事"),
    ("绩效|年终奖|奖金", "课时费|课酬", "补贴|津贴", "公积金", "社保", "电费", "水费", "会费", "租金|房租"),
    ("猪肉|红烧肉", "牛肉", "羊肉", "鸡肉", "凉菜", "桶装水|饮水机|饮用水"),
    ("石棉", "甲醛", "氡", "大肠", "诺如"),
    ("寒假", "暑假(?!托)"),
    ("现金|打钱|到卡", "购物卡|礼品卡"),
    ("住房补贴|房补", "交通补贴|车补", "餐补|饭补", "通讯补贴"),
    ("数学系", "隔壁学院|旁边那个学院"),
    ("爆炸|炸", "检修|维修"),
    ("坠落|下坠|掉下来", "困住|被困"),
    ("班车|校车|早班车", "私家车"),
    ("身份证", "手机号"),
    ("合成肉", "僵尸肉|冻肉|冷冻"),
    ("因生病|因病", "举报"),
)  # fmt: skip
_RIVAL: Final = tuple(tuple(map(re.compile, group)) for group in _RIVALS)
_PLACE: Final = 2  # so many groups at the head are places


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement commits to.

    Attributes:
        numbers: (kind, value): shares as fractions of what is gone, amounts with their scale.
        dates: days, months and years in one writing.
        denied: whether it denies.
        negated: what it says is not so (one or two characters after the "not").
        sides: for each pair of opposites that occurs, which side (0 or 1).
        kinds: for each group of rivals that occurs, which ones.
        text: the text itself.
    """

    numbers: frozenset[tuple[str, float]]
    dates: frozenset[str]
    denied: bool
    negated: frozenset[str]
    sides: frozenset[tuple[int, int]]
    kinds: frozenset[tuple[int, int]]
    text: str = ""

    @staticmethod
    def of(text: str) -> Facts:
        """Read the facts of a normalised text."""
        numbers, dates = _numbers(text)
        plain = _NO_NEGATION.sub(" ", text)
        return Facts(
            frozenset(numbers),
            frozenset(dates | _days(text)),
            len(_DENIED.findall(text)) % 2 == 1,
            frozenset(found[1] for found in _NEGATED.finditer(plain)),
            frozenset(_sides(text)),
            frozenset(_kinds(text)),
            plain,
        )


def differences(post: Facts, claim: Facts, whole: Facts | None = None) -> tuple[str, ...]:
    """Return the names of what a post's statement and a claim differ in.

    A number or date of the claim that the post leaves out differs too: the vaguer statement is another one; so is the
    one that adds a number where the claim has none.

    Args:
        post: the facts of the clauses that speak of the claim.
        claim: the facts of the claim.
        whole: the facts of the whole post, whose numbers and dates may stand apart.
    """
    whole = whole or post
    found = {
        "number": _other_values(post.numbers, whole.numbers, claim.numbers),
        "date": _other_values(post.dates - _NOW, whole.dates - _NOW, claim.dates - _NOW),
        "negation": post.denied != claim.denied or _turned(post, claim) or _turned(claim, post),
        "opposite": _opposed(post.sides, claim.sides),
        "place": _rivals(post, claim, range(_PLACE)),
        "subject": _rivals(post, claim, range(_PLACE, len(_RIVALS))),
    }
    return tuple(name for name, differs in found.items() if differs)


def focus(post: str, claim: str) -> str:
    """Return the clauses of a post that speak of the claim, so that what stands around does not count."""
    clauses = [clause for clause in _CLAUSE.split(post) if clause.strip()]
    wanted = _pairs(claim)
    about = [clause for clause in clauses if len(_pairs(clause) & wanted) >= 2]
    return " ".join(about or clauses)


def _pairs(text: str) -> set[str]:
    return {one + other for one, other in pairwise(text) if one.isalnum() and other.isalnum()}


def _other_values(post: frozenset[Any], whole: frozenset[Any], claim: frozenset[Any]) -> bool:
    return bool(post) if not claim else not claim <= whole


def _turned(one: Facts, other: Facts) -> bool:
    """Say whether one denies what the other says plainly, in the same word; "no bus any more" is the end of the bus."""
    return _ENDED not in other.sides and any(
        word in other.text
        and word not in other.negated
        and not any(word in x or x in word for x in other.negated)
        for word in one.negated
        if len(word) == 2 or word in "砍涨降扣停拆卖裁发"
    )


def _opposed(one: frozenset[tuple[int, int]], other: frozenset[tuple[int, int]]) -> bool:
    return any(
        (pair, 1 - side) in there and (pair, side) not in there
        for here, there in ((one, other), (other, one))
        for pair, side in here
        if (pair, 1 - side) not in here
    )


def _rivals(post: Facts, claim: Facts, groups: range) -> bool:
    """Say whether the post has another one of a group in the place of the claim's."""
    for group in groups:
        mine = {which for at, which in post.kinds if at == group}
        theirs = {which for at, which in claim.kinds if at == group}
        if mine - theirs and theirs - mine:
            return True
    return False


def _sides(text: str) -> set[tuple[int, int]]:
    return {
        (number, side)
        for number, pair in enumerate(_OPPOSED)
        for side, words in enumerate(pair)
        if words.search(text)
    }


def _kinds(text: str) -> set[tuple[int, int]]:
    return {
        (group, which)
        for group, rivals in enumerate(_RIVAL)
        for which, words in enumerate(rivals)
        if words.search(text)
    }


def marks(text: str) -> frozenset[int]:
    """Return a number for each side of a pair of opposites and each one of a group of rivals that a text names."""
    sides = {100 * pair + side for pair, side in _sides(text)}
    return frozenset(sides | {10_000 + 100 * group + which for group, which in _kinds(text)})


def _days(text: str) -> set[str]:
    return {name or found.group() for days, name in _SAME_DAY for found in days.finditer(text)}


def _numbers(text: str) -> tuple[set[tuple[str, float]], set[str]]:
    numbers: set[tuple[str, float]] = set()
    dates: set[str] = set()
    for found in _NUMBER.finditer(text):
        word = _word(found)
        if word is not None:
            numbers.add(word)
            continue
        unit = found["unit"] or found["chinese_unit"] or ""
        value = float(found["arabic"]) if found["arabic"] else _chinese(found["chinese"] or found["bare"])
        value *= _SCALES[found["scale"] or found["chinese_scale"]]
        if unit == "号" and text.startswith(_PLACE_NEXT, found.end()):
            numbers.add(("place", value))
        elif found["chinese"] == "一" and (
            unit == "块" or (unit == "月" and not _MONTH.match(text, found.end()))
        ):
            continue
        elif unit in _DATE_UNITS and unit and not (unit == "年" and value < 100):
            dates.add(f"{value:g}{'日' if unit == '号' else unit}")
        elif unit in _SHARES:
            share = value * _SHARES[unit]
            gone = unit in "成折" and _LEFT.search(text, max(0, found.start() - 2), found.start())
            numbers.add(("share", round(1 - share if gone else share, 6)))
        elif not (found["chinese"] and unit in "个次名位年期部" and value == 1):
            numbers.add(("amount", value))
    return numbers, dates


def _word(found: re.Match[str]) -> tuple[str, float] | None:
    """Return the value of what is no numeral with a unit: 一半, 翻倍, 俩, 百分之三."""
    if found["half"]:
        return ("share", 0.5)
    if found["double"]:
        return ("times", 2.0)
    if found["pair"]:
        return ("amount", float(_DIGITS[found["pair"]]))
    if found["of"]:
        parts = found["parts"]
        value = float(parts) if parts[0].isascii() else _chinese(parts)
        return ("share", round(value / (100 if found["of"] == "百" else 1000), 6))
    return None


def _chinese(numeral: str) -> float:
    """Read a numeral below ten thousand (三百五 as 305 is read digit by digit: it only has to be itself again)."""
    total, digit = 0, 0
    if not set(numeral) & set(_TENS):
        return float("".join(str(_DIGITS[char]) for char in numeral))
    for char in numeral:
        if char in _TENS:
            total += (digit or 1) * _TENS[char]
            digit = 0
        else:
            digit = _DIGITS[char]
    return float(total + digit)
