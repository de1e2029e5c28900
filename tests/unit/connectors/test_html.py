"""HTML as words: own and quoted ones apart, nothing hidden taken, whatever the markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors._html import words_in


@pytest.mark.parametrize(
    ("html", "own", "quoted"),
    [
        ("<p>三食堂<br>停水</p><p>两天了</p>", "三食堂\n停水\n\n两天了", None),
        ("停水 1 &lt; 2 &amp;amp; 3", "停水 1 < 2 &amp; 3", None),
        ("<blockquote>昨天修好<blockquote>里</blockquote></blockquote>没有", "没有", "昨天修好\n里"),
        (
            '<aside class="quote"><div>张三：</div><blockquote>旧话</blockquote></aside>新话',
            "新话",
            "张三：\n\n旧话",
        ),
        ("<aside class='onebox'>卡片</aside>话", "卡片\n话", None),
        ("看<script>alert('天机')</script><style>a{}</style>这里<!-- 天机 -->", "看这里", None),
        ('<img class="emoji" alt=":cry:"> <img src="a.png" alt="a.png">', ":cry: [图片]", None),
        ('<img alt="😢">', "😢", None),
        ('<a href="http://spam.example/x">领取补贴</a>', "领取补贴 http://spam.example/x", None),
        ('<a href="https://a.example/">https://a.example/</a>', "https://a.example/", None),
        ('<a href="https://a.example/very/long">a.example/very…</a>', "a.example/very…", None),
        ('<a href="javascript:alert(1)">点我</a> <a href="/u/x">@小周</a>', "点我 @小周", None),
        ('<a href="https://bbs.example/u/x">@小周</a>', "@小周", None),
        ("<ul><li>一</li><li>二</li></ul>", "一\n\n二", None),
        ("", "", None),
    ],
)
def test_words_of_a_page(html: str, own: str, quoted: str | None) -> None:
    assert words_in(html) == (own, quoted)


@pytest.mark.parametrize(
    "part",
    ["<", "<!--", "<a ", '<a href="x', "&", "<![", "</", "<blockquote>", "<div>", "<?", "<a b='", "<td>"],
)
def test_broken_markup_costs_little(part: str) -> None:
    """Python's own parser alone takes minutes for some of these: then this test does not end."""
    own, _quoted = words_in(part * (400_000 // len(part)))
    assert len(own) <= 20_000


@given(st.text())
def test_any_text_is_read(html: str) -> None:
    own, quoted = words_in(html)
    assert isinstance(own, str)
    assert quoted is None or quoted
    assert "\x00" not in own


@given(st.text(alphabet=st.sampled_from("停水 abc，。\n"), max_size=60))
def test_escaped_words_come_back(text: str) -> None:
    shown = "".join(text.split())
    assert "".join(words_in(f"<p>{text}</p>")[0].split()) == shown
