"""Letters taken apart: charsets, headers, quotations, signatures, machines; and whatever else may come."""

from __future__ import annotations

import base64
import time
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors._mailbox_cut import cut
from connectors._mailbox_html import words_in
from connectors._mailbox_imap import _unquoted, quoted
from connectors._mailbox_letter import head_of, header_words, key_of, parsed, read_letter
from monitor.core.errors import Malformed
from monitor.core.model import RawPost

OWN = "gonghui@example.edu.cn"


def raw(body: str | bytes = "正文", charset: str = "utf-8", **headers: str) -> bytes:
    given = {
        "From": "zhang@example.edu.cn",
        "Message-ID": "<1@example.edu.cn>",
        "Content-Type": f"text/plain; charset={charset}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    data = (
        body if isinstance(body, bytes) else body.encode("gb18030" if charset.startswith("gb") else "utf-8")
    )
    return "".join(f"{k}: {v}\r\n" for k, v in given.items() if v).encode() + b"\r\n" + data


def post_of(data: bytes) -> RawPost:
    _head, post = read_letter("box", data, OWN, None)
    assert post is not None
    return post


def test_text_labelled_gb2312_is_read_as_gb18030() -> None:
    """A colleague called 喆 is not in GB2312, and neither are rarer signs."""
    assert post_of(raw("喆老师说㐂字也要认得", "gb2312")).text == "喆老师说㐂字也要认得"


@pytest.mark.parametrize(
    "label", ["", "unknown-8bit", "x-nonsense", "us-ascii", "hex", "unicode_escape", "utf-8"]
)
def test_a_wrong_label_is_not_believed(label: str) -> None:
    """Bytes that are GBK under another name, and names of codecs that are no charsets."""
    assert "停水" in post_of(raw("三食堂停水".encode("gbk"), label)).text


def test_words_in_headers() -> None:
    """RFC 2047 in both codings, split in the middle of a character, raw GBK, and nonsense."""
    coded = base64.b64encode("三食堂二楼又停水了".encode("gbk"))
    assert header_words(f"=?GB2312?B?{coded.decode()}?=") == "三食堂二楼又停水了"
    assert header_words("=?utf-8?Q?=E5=81=9C=E6=B0=B4?= (1)") == "停水 (1)"
    halves = coded[:12], base64.b64encode("三食堂二楼又停水了".encode("gbk")[9:])
    assert (
        header_words(f"=?gb18030?B?{halves[0].decode()}?= =?gb18030?B?{halves[1].decode()}?=")
        == "三食堂二楼又停水了"
    )
    assert header_words("食堂停水".encode("gbk").decode("ascii", "surrogateescape")) == "食堂停水"
    assert header_words("=?utf-8?B?====?=") == ""
    assert header_words("=?nonsense?Z?a?=") == "=?nonsense?Z?a?="
    assert "\n" not in header_words("a\r\n b")


def test_the_subject_stands_above_the_words_unless_it_only_marks_an_answer() -> None:
    assert post_of(raw("二楼没有水", Subject="=?utf-8?B?5YGc5rC0?=")).text == "停水\n二楼没有水"
    assert post_of(raw("谢谢", Subject="Re: x")).text == "谢谢"
    assert post_of(raw("谢谢", Subject="x", In_Reply_To="<0@a>")).text == "谢谢"
    assert post_of(raw("停水了", Subject="停水了".encode().decode("latin-1"))).text


@pytest.mark.parametrize(
    "tail",
    [
        "在 2026年11月24日 10:00，工会 <gonghui@example.edu.cn> 写道：\n> 旧话\n> 旧话二",
        "On Tue, Nov 24, 2026 at 10:00 AM Union\n<gonghui@example.edu.cn> wrote:\n\n> 旧话\n>\n> 旧话二",
        "工会信箱 <gonghui@example.edu.cn> 于2026年11月24日周二 10:00写道：\n\n旧话\n旧话二",
        '------------------ 原始邮件 ------------------\n发件人: "工会"<gonghui@example.edu.cn>;\n旧话',
        "-----原始邮件-----\n旧话",
        "---- 回复的原邮件 ----\n| 发件人 | 工会 |\n旧话",
        "发件人: 工会\n发送时间: 2026年11月24日 10:00\n收件人: 张\n主题: 旧\n\n旧话",
        "From: Union\nSent: Tuesday\nTo: Zhang\nSubject: 旧\n\n旧话",
        "> 旧话\n> 旧话二",
    ],
)
def test_what_is_quoted_is_no_part_of_the_words(tail: str) -> None:
    own, old = cut(f"还是没有水。\n请尽快处理。\n\n{tail}")
    assert own == "还是没有水。\n请尽快处理。"
    assert old is not None
    assert "旧话" in old


def test_words_below_and_between_quotations_are_kept() -> None:
    text = "在 2026年1月1日，工会 写道：\n> 几点停水？\n早上七点。\n> 哪个楼？\n> 哪一层？\n二楼。"
    own, old = cut(text)
    assert own == "早上七点。\n二楼。"
    assert old is not None
    assert old.count(">") == 3


@pytest.mark.parametrize(
    "text",
    [
        "工资>3000元的呢",
        ">3000元的呢",
        "发件人：这三个字是什么意思",
        "他写道：很好。",
        "在食堂，大家说没有水",
        "-- 第一条\n-- 第二条",
    ],
)
def test_ones_own_words_are_not_taken_for_a_quotation(text: str) -> None:
    assert cut(text) == (text, None)


def test_signatures_are_cut() -> None:
    assert cut("没有水\n-- \n张伟\n后勤处") == ("没有水", None)
    assert cut("没有水\n\n发自我的iPhone") == ("没有水", None)
    assert cut("没有水\n来自我的华为手机\n") == ("没有水", None)
    assert cut("来自食堂的消息") == ("来自食堂的消息", None)


def test_a_letter_that_is_passed_on_without_a_word_is_kept_whole() -> None:
    own, old = cut("-----Original Message-----\n食堂停水通知")
    assert "食堂停水通知" in own
    assert old is None


@pytest.mark.parametrize(
    "html",
    [
        "<p>没有水</p><p>请处理</p><blockquote type=cite>旧话</blockquote>",
        "<div>没有水<br>请处理</div><div class='gmail_quote'>On ... wrote:<blockquote>旧话</blockquote></div>",
        "<style>p{}</style><script>alert(1)</script><div>没有水</div><div>请处理</div><div id=divRplyFwdMsg>发件人</div><div>旧话</div>",
        "<div>没有水</div><div>请处理</div><includetail><div>旧话</div></includetail>",
        "<div>没有水</div><div>请处理<sign>张伟</sign></div><div class='ntes-mailmaster-quote'>旧话</div>",
        "<html><head><title>x</title></head><body>没有水<br/>请处理<!-- 旧 --><img src=http://e/x.gif><div id='isReplyContent'>旧话",
    ],
)
def test_html_letters(html: str) -> None:
    post = post_of(raw(html, Content_Type="text/html; charset=utf-8"))
    assert post.text == "没有水\n请处理"
    assert "旧话" in (post.quoted or "")
    assert "http" not in post.text


def test_plain_is_preferred_and_attachments_are_named_only_where_nothing_else_is() -> None:
    made = EmailMessage(policy=SMTP)
    made["From"], made["Message-ID"] = "zhang@example.edu.cn", "<2@a>"
    made.set_content("没有水")
    made.add_alternative("<p>别的</p>", subtype="html")
    made.add_attachment(b"x" * 2000, maintype="image", subtype="png", filename="张伟.png")
    assert post_of(made.as_bytes()).text == "没有水"
    made = EmailMessage(policy=SMTP)
    made["From"], made["Message-ID"], made["Subject"] = "zhang@example.edu.cn", "<3@a>", "停水"
    made.add_attachment(b"x", maintype="image", subtype="png", filename="张伟.png")
    assert post_of(made.as_bytes()).text == "停水 [图片]"


def test_ids_and_threads_are_digests() -> None:
    """An id of a letter may hold a name: it does not stand beside the post."""
    first = post_of(raw(Message_ID="<zhang.wei.1@example.edu.cn>"))
    assert first.external_id == key_of("<zhang.wei.1@example.edu.cn>") == first.thread
    ours = "<00ff.huiyin@example.edu.cn>"
    again = post_of(
        raw(Message_ID="<2@a>", References=f"<zhang.wei.1@example.edu.cn> {ours}", In_Reply_To=ours)
    )
    assert again.thread == first.external_id == again.reply_to
    assert "zhang" not in f"{first.external_id}{again.thread}{again.reply_to}"


def test_a_letter_without_an_id_is_known_by_what_it_says() -> None:
    one, same = raw("甲", Message_ID=""), raw("甲", Message_ID="")
    assert (
        post_of(one).external_id == post_of(same).external_id != post_of(raw("乙", Message_ID="")).external_id
    )


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"Auto_Submitted": "auto-replied"}, "auto_reply"),
        ({"Auto_Submitted": "auto-replied", "Return_Path": "<>"}, "auto_reply"),
        ({"X_Autoreply": "yes"}, "auto_reply"),
        ({"Precedence": "list"}, "bulk"),
        ({"List_Id": "<all.example>"}, "bulk"),
        ({"Auto_Submitted": "auto-generated"}, "bulk"),
        ({"Auto_Submitted": "no"}, "letter"),
        ({"Return_Path": "<>"}, "bounce"),
        ({"From": "MAILER-DAEMON@mx.example"}, "bounce"),
        ({"Content_Type": "multipart/report; report-type=delivery-status; boundary=b"}, "bounce"),
        ({"From": OWN, "Message_ID": "<00ff.huiyin@example.edu.cn>"}, "own"),
        ({"From": OWN}, "letter"),
    ],
)
def test_machines_are_told_from_people(headers: dict[str, str], kind: str) -> None:
    assert head_of(parsed(raw(**headers)), OWN).kind == kind


def test_what_machines_send_is_no_post_or_is_put_aside() -> None:
    assert read_letter("box", raw(Auto_Submitted="auto-replied"), OWN, None)[1] is None
    assert post_of(raw(Precedence="bulk")).text == "正文"
    with pytest.raises(Malformed) as told:
        read_letter("box", raw(Return_Path="<>"), OWN, None)
    assert told.value.reason == "bounce"


@pytest.mark.parametrize("date", ["Wed, 25 Nov 2026 09:30:00 +0800", "25 Nov 2026 09:30 +0800"])
def test_dates(date: str) -> None:
    at = post_of(raw(Date=date)).posted_at
    assert at is not None
    assert at.isoformat() == "2026-11-25T01:30:00+00:00"


@pytest.mark.parametrize(
    "date", ["", "gestern", "Wed, 99 Nov 2026", "1 Jan 1970 00:00:00 +0000", "1 Jan 99999 00:00"]
)
def test_dates_that_cannot_be_true_are_left_out(date: str) -> None:
    assert post_of(raw(Date=date)).posted_at is None


def test_folders_in_chinese() -> None:
    assert quoted("已发送") == '"&XfJT0ZAB-"'
    assert quoted("A&B") == '"A&-B"'
    assert _unquoted(b'"&XfJT0ZAB-"') == "已发送"


@given(st.text(max_size=60))
def test_folder_names_come_back(name: str) -> None:
    if "\0" not in name and not any(0xD800 <= ord(c) <= 0xDFFF for c in name):
        assert _unquoted(quoted(name).encode()) == name


HEADERS = st.dictionaries(
    st.sampled_from(
        ["From", "Subject", "Date", "Message-ID", "References", "In-Reply-To", "Content-Type", "Content-Transfer-Encoding", "Return-Path", "Auto-Submitted", "Content-Disposition", "Reply-To", "Precedence"]
    ),
    st.one_of(
        st.binary(max_size=80),
        st.sampled_from(
            [b"=?utf-8?B?x?=", b"=?gb2312?Q?=FF?=", b"multipart/mixed; boundary=b", b"text/html; charset=hz", b"base64",
             b"message/rfc822", b"uuencode", b"text/plain; charset*=x''%ff", b"multipart/report; report-type=x", b"<a@b>"]
        ),
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    HEADERS,
    st.one_of(st.binary(max_size=300), st.sampled_from([b"--b\r\n\r\nx\r\n--b--", b"--b\r\n--b\r\n--b"])),
)
def test_whatever_comes_is_read_or_refused_with_a_reason(headers: dict[str, bytes], body: bytes) -> None:
    data = b"".join(k.encode() + b": " + v + b"\r\n" for k, v in headers.items()) + b"\r\n" + body
    try:
        head, post = read_letter("box", data, OWN, None)
    except Malformed:
        return
    assert head.key
    if post is not None:
        post.text.encode()
        assert post.text.strip()
        assert len(post.external_id) <= 200


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([">", "> a", "", "在 2026年 写道：", "发件人：x", "主题：y", "--", "词", "-----原始邮件-----", "发自我的iPhone", "On 2026 x", "<a@b> wrote:"]), max_size=30))  # fmt: skip
def test_cutting_loses_no_line_and_keeps_the_order(lines: list[str]) -> None:
    own, old = cut("\n".join(lines))
    kept = iter(lines)
    assert all(line in kept for line in own.split("\n") if line), (
        "own words are lines of the letter, in their order"
    )
    assert all(line in lines for line in (old or "").split("\n") if line)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>/divbp a=\"'&;!-\0栏", max_size=200))
def test_any_markup_is_read(html: str) -> None:
    own, old, pictures = words_in(html)
    assert isinstance(own, str)
    assert pictures >= 0
    assert "\0" not in own + (old or "")


@pytest.mark.parametrize("html", ["<div>" * 40_000 + "x", "<" * 200_000, "<div" * 50_000, "<!--" * 50_000])
def test_hostile_markup_costs_little_time(html: str) -> None:
    """Cleaning takes time that grows with the square of the nesting: beyond a depth the tags are left out."""
    begun = time.process_time()
    words_in(html)
    assert time.process_time() - begun < 5.0


def test_nested_parts_are_no_trap() -> None:
    data = b"From: a@b.cn\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n"
    for n in range(1, 400):
        data += b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n - 1, n)
    with pytest.raises(Malformed):
        read_letter("box", data + b"--b399\r\n\r\nx\r\n", OWN, None)
