"""Words that are written with other characters of the same sound to get past a filter, and how they are written then.

Only pairs that ordinary text does not hold: each was looked up in 300,000 everyday posts and in the dictionary, and
left out where it means something itself (威信, 简直, 克服, 出生, 健人 are not here). Data, not code: add to it freely;
what it holds is part of the normaliser's version.
"""

from __future__ import annotations

from typing import Final

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
查重 茬重 察重 查崇
降重 绛重 奖重
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
    """Return how it is written -> the word that is meant; both have two characters."""
    rows = [line.split() for line in _TABLE.split("\n") if line]
    return {written: word for word, *ways in rows for written in ways}
