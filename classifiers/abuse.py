"""Abuse 辱骂骚扰: insult, harassment, doxxing or threat toward persons or groups; never criticism."""

from __future__ import annotations

from classifiers._question import Question
from monitor.core.model import Label

QUESTION = Question(
    label=Label.ABUSE,
    about="Insult, harassment, doxxing or threat toward persons or groups; harsh criticism of a decision is none.",
    names={"offensive": "1", "not_offensive": "0"},
    tasks=("abuse", "offensive"),
    miss_cost=1 / 2,  # set so that no post of corpora/criticism is flagged
    removal=True,
    sources=("cold", "swsr"),
    why=(
        (("弄死", "打死", "砍", "等着", "小心", "堵", "收拾", "揍"), "带有威胁的话"),
        (("电话", "住址", "家住", "住在", "车牌", "人肉", "楼", "号"), "公开他人的私人信息"),
        (
            ("狗", "猪", "畜", "贱", "婊", "废物", "脑残", "傻", "蠢", "滚", "人渣", "垃圾", "妈"),
            "辱骂他人的话",
        ),
    ),
    why_else="贬损或骚扰他人的说法",
)
