"""Cleaning and masking of what members write: personal numbers leave the text before it is stored (P-03).

:func:`clean` makes a text storable; :func:`mask` replaces numbers that lead to a person by a word in brackets.
Both are idempotent and never raise. Ordinary numbers (dates, amounts, rooms, course codes) stay.
"""

from __future__ import annotations

import re
import unicodedata

LIMIT = 20_000
"""Longest text kept, in characters; a longer one is cut and ends with an ellipsis."""

# --- cleaning --------------------------------------------------------------------------------------

_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def _replacement(match: re.Match[str]) -> str:
    return "\ufffd" if match[0] >= "\ud800" else ""


def clean(text: str, limit: int = LIMIT) -> str:
    """Return ``text`` without control characters, in NFC, at most ``limit`` characters long.

    Lone surrogates become U+FFFD; line feeds and tabs stay, carriage returns go.
    """
    if _UNWANTED.search(text):
        text = _UNWANTED.sub(_replacement, text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


# --- masking ---------------------------------------------------------------------------------------
# The patterns look at a twin of the text in which full-width digits and letters are ASCII. The twin has the
# same length, so a span found there is a span of the text.

_WIDE = re.compile("[\uff01-\uff5e\u3000\u2010-\u2015\u2212\u00a0]")
_TWIN = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(range(0x2010, 0x2016), ord("-")),
    0x2212: ord("-"),
    0x3000: ord(" "),
    0x00A0: ord(" "),
}
_WORTH_A_LOOK = re.compile(
    r"[0-9\uff10-\uff19@\uff20]|[微薇威]信|[VvWwＶｖＷｗ][XxＸｘ信]|[Ww][Ee][CcIi]|加[微vV]"
)


def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source, re.ASCII)


_IS = r"[\s:：=是为号码「」\"'，,()（）]{0,6}"  # what may stand between the word and the number
_EMAIL = _pattern(
    r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9._%+\-]++@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]*+)\.)+[A-Za-z]{2,24}"
)
_ID_CARD = _pattern(
    r"(?<!\d)([1-9]\d{5})[ \-]?((?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))[ \-]?(\d{3}[\dXx])(?![\dA-Za-z])"
)
_ID_IN_CONTEXT = _pattern(
    r"(?:身份证|证件|護照|护照)" + _IS + r"(\d{17}[\dXx]|\d{15}|[A-Z]\d{8})(?![\dA-Za-z])"
)
_CARD = _pattern(r"(?<!\d)([3-69](?:\d{15,18}|\d{3}(?:[ \-]\d{4}){3}(?:[ \-]?\d{1,3})?))(?!\d)")
_CARD_IN_CONTEXT = _pattern(
    r"(?:银行卡|卡号|账号|帐号|开户)" + _IS + r"(\d{12,19}|\d{4}(?:[ \-]\d{4}){3}(?:[ \-]\d{1,3})?)(?!\d)"
)
_COUNTRY = r"(?:(?:\+|00)?86[ \-]{0,2}|0)?"
_MOBILE = _pattern(r"(?<!\d)" + _COUNTRY + r"1[3-9]\d{9}(?!\d)")
_MOBILE_SPACED = _pattern(
    r"(?<![\d.])"
    + _COUNTRY
    + r"(1[3-9]\d(?:[ \-._·*]{1,2}\d{4}){2}|1[3-9]\d(?:[ \-._·]{0,2}\d){8}|1([ \-._·])[3-9](?:\2\d){9})(?![\d])"
)
_DATE = _pattern(r"(?:19|20)\d\d ?[\-./年] ?[01]?\d(?:[\-./月]|\b)|\d{4}[ \-]{1,3}20\d\d(?!\d)")
_LANDLINE = _pattern(
    r"(?<![\d\-])\(?0(?:10|2\d|[3-9]\d\d)\)?[ \-]{0,2}[2-9]\d{2,3}[ \-]?\d{4}(?:(?:-|转| ?转 ?)\d{1,5})?(?!\d)"
)
_LOCAL = _pattern(
    r"(?:电话|座机|固话|致电|拨打|联系方式|[Tt][Ee][Ll])"
    + _IS
    + r"([2-9]\d{2,3}[ \-]?\d{4}(?:(?:-|转)\d{1,5})?)(?!\d)"
)
_QQ = _pattern(
    r"(?:(?<![A-Za-z])[Qq][Qq]|扣扣|企鹅|(?<![A-Za-z0-9])[Qq](?=[号:： ]))(?:群|号码|号)?"
    + _IS
    + r"([1-9]\d{4,10})(?!\d)"
)
_WECHAT = _pattern(
    r"(?:[微薇威]信|(?<![A-Za-z])(?:[Ww][Ee][Cc][Hh][Aa][Tt]|[Ww][Ee][Ii][Xx][Ii][Nn]|[VvWw][Xx])|[Vv]信|加[微vV])"
    r"(?:号|ID|Id|id)?(?:[\s:：=是为]{1,4}|(?<=[号信]))"
    r"((?=[A-Za-z_\-]*\d)[A-Za-z][A-Za-z0-9_\-]{5,19}|(?<=[:：=])[A-Za-z][A-Za-z0-9_\-]{5,19}|[1-9]\d{5,10})(?![A-Za-z0-9_\-])"
)
_PLATE = _pattern(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]"
    r"[A-HJ-NP-Z][·•. ]?(?=[A-HJ-NP-Z0-9]{0,4}\d[A-HJ-NP-Z0-9]{0,4}\d)(?:[A-HJ-NP-Z0-9]{5,6}|[A-HJ-NP-Z0-9]{4}[挂学警港澳])(?![A-Za-z0-9])"
)
_STAFF = _pattern(
    r"(?:教工号|职工号|工号|学号|人事编号|工资号|一卡通号?|校园卡号?)"
    + _IS
    + r"([A-Za-z]{0,3}\d{4,12})(?![\dA-Za-z])"
)


def _id_card_sums(match: re.Match[str]) -> bool:
    digits = match[1] + match[2] + match[3]
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(digits[:17], weights, strict=True))
    return "10X98765432"[total % 11] == digits[17].upper()


def _luhn(match: re.Match[str]) -> bool:
    digits = [int(char) for char in match[1] if char.isdigit()]
    doubled = [
        digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4) for place, digit in enumerate(digits[::-1])
    ]
    return sum(doubled) % 10 == 0


def _no_date(match: re.Match[str]) -> bool:
    return _DATE.search(match[0]) is None


def _always(_match: re.Match[str]) -> bool:
    return True


_MASKS = (
    (_EMAIL, "[邮箱]", 0, _always),
    (_ID_IN_CONTEXT, "[证件号]", 1, _always),
    (_ID_CARD, "[证件号]", 0, _id_card_sums),
    (_CARD_IN_CONTEXT, "[银行卡]", 1, _always),
    (_CARD, "[银行卡]", 0, _luhn),
    (_STAFF, "[工号]", 1, _always),
    (_MOBILE, "[电话]", 0, _always),
    (_QQ, "[QQ]", 1, _always),
    (_WECHAT, "[微信]", 1, _always),
    (_LANDLINE, "[电话]", 0, _always),
    (_LOCAL, "[电话]", 1, _always),
    (_MOBILE_SPACED, "[电话]", 0, _no_date),
    (_PLATE, "[车牌]", 0, _always),
)
"""Pattern, word put in its place, the group that is replaced, and a check that the number is what it seems."""


def _twin(text: str) -> str:
    return text.translate(_TWIN) if _WIDE.search(text) else text


def _mask_once(text: str) -> str:
    twin = _twin(text)
    for pattern, word, group, check in _MASKS:
        spans = [match.span(group) for match in pattern.finditer(twin) if check(match)]
        for start, end in reversed(spans):
            text = text[:start] + word + text[end:]
            twin = twin[:start] + word + twin[end:]
    return text


def mask(text: str) -> str:
    """Return ``text`` with phone, identity, card, plate, staff and account numbers and e-mail addresses masked.

    Works on full-width and spaced digits too; masking a masked text changes nothing.
    """
    if not _WORTH_A_LOOK.search(text):
        return text
    masked = _mask_once(text)
    while masked != text:  # a mask may free a neighbour; every round removes digits or letters, so it ends
        text, masked = masked, _mask_once(masked)
    return masked
