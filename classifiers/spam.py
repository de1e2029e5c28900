"""Spam 垃圾信息: unsolicited commerce, scams and lead-ins in any disguise."""

from __future__ import annotations

from classifiers._question import Question
from monitor.core.model import Label

QUESTION = Question(
    label=Label.SPAM,
    about="Unsolicited commercial, scam or lead-in content in any disguise; not the union's own group buys.",
    names={"spam": "1", "ham": "0"},
    tasks=("spam",),
    miss_cost=1.0,  # set so that no post of corpora/criticism is flagged
    removal=True,
    sources=("qq_group_mc",),
    why=(
        (
            ("微信", "qq", "私聊", "私我", "加我", "扫码", "二维码", "进群", "主页"),
            "留联系方式引人离开本频道",
        ),
        (("刷单", "兼职", "日结", "佣金", "返利", "躺赚", "副业"), "兼职刷单一类的招揽"),
        (("代写", "论文", "查重", "发表", "课题", "期刊"), "代写代发一类的招揽"),
        (("贷", "额度", "利息", "套现", "放款"), "贷款套现一类的招揽"),
        (("证", "学历", "挂靠", "包过"), "办证包过一类的招揽"),
        (
            ("退款", "退费", "补贴", "领取", "点击", "链接", "登录", "http", "验证码"),
            "像是诱导点击或领取的骗局",
        ),
    ),
    why_else="与常见广告、诈骗的说法相近",
)
