"""A fake Discuz! X forum that speaks its mobile interface and its feed, with the habits of a real one.

For tests and for authors of connectors. Its behaviour was compared with an X3.5 at work: all scalars are texts, words
are escaped twice, a page beyond the end is the last one, a wrong form hash is a page with status 503, a moderator's
call succeeds for posts that are not there, and removed posts leave holes in the count of places.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
import math
import re
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

__all__ = ["FakeDiscuz", "FakePost", "FakeTopic", "Faults"]

PREFIX = "AbCd_2132_"
PAGE = (
    "<!DOCTYPE html>\r\n<html>\r\n<head>\r\n\t<title>{host} - System Error</title>\r\n</head>\r\n"
    "<body>您当前的访问请求当中含有非法字符，已经被系统拒绝</body></html>"
)
HIDDEN = "提示: <em>该帖被管理员或版主屏蔽</em>"
Body = dict[str, Any]


@dataclass(slots=True)
class Faults:
    """What goes wrong; change it at any time.

    ``messages`` are answered, per module, instead of carrying it out; ``drop_after`` cuts the connection after a module
    was carried out; ``statuses`` answers with an HTTP status and a page; ``raw`` with these very bytes.
    ``closed`` switches the mobile interface off, ``no_feed`` the feed; ``empty_feed`` gives so many feeds without
    topics; ``image_code`` asks for a code at sign-in; ``by_place`` shows pages by place, with rows for removed posts.
    """

    messages: dict[str, deque[str]] = field(default_factory=dict)
    drop_after: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, deque[int]] = field(default_factory=dict)
    raw: dict[str, deque[bytes]] = field(default_factory=dict)
    closed: str = ""
    no_feed: bool = False
    empty_feed: int = 0
    image_code: bool = False
    by_place: bool = False

    def give(self, module: str, *messages: str) -> None:
        """Let the next calls of ``module`` be answered with ``messages``."""
        self.messages.setdefault(module, deque()).extend(messages)


@dataclass(slots=True)
class FakePost:
    """One post; ``words`` are what was typed, None when they cannot be converted; ``row`` replaces what is shown."""

    pid: int
    uid: int
    words: str | None
    place: int
    at: int
    status: int = 0
    gone: bool = False
    anonymous: bool = False
    row: Body = field(default_factory=dict)


@dataclass(slots=True)
class FakeTopic:
    """One topic with its posts."""

    tid: int
    fid: int
    subject: str
    posts: list[FakePost] = field(default_factory=list)
    pinned: bool = False
    gone: bool = False
    closed: str = "0"

    def standing(self) -> list[FakePost]:
        """Return the posts that are not removed."""
        return [post for post in self.posts if not post.gone]

    @property
    def last(self) -> int:
        """Return when it was last answered."""
        return max((post.at for post in self.posts), default=0)


class FakeDiscuz:
    """One forum site.

    Args:
        charset: ``utf-8`` or ``gbk``; the mobile interface speaks UTF-8 in either case.
        per_page: posts on a page of a topic.
        per_list: topics on a page of a forum.
    """

    def __init__(self, charset: str = "utf-8", per_page: int = 10, per_list: int = 20) -> None:
        self.charset = charset
        self.per_page = per_page
        self.per_list = per_list
        self.username, self.password, self.uid = "gonghui", "Bot-Gonghui-2026", 88_001_234
        self.names: dict[int, str] = {self.uid: self.username}
        self.moderated: set[int] = {2, 9}
        self.forums: dict[int, str] = {2: "工会之家", 9: "别的版块"}
        self.topics: dict[int, FakeTopic] = {}
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.done: Counter[str] = Counter()
        self.refused_hashes = 0
        self.port = 0
        self._sessions: dict[str, int] = {}
        self._numbers = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Address of the forum."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> FakeDiscuz:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the site on a free port, or on the former one."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything."""
        if self._runner is not None:
            await self._runner.cleanup()

    # --- what a test prepares ------------------------------------------------------------------------

    def topic(
        self, fid: int, subject: str, words: str | None, uid: int, at: float = 0.0, **how: Any
    ) -> FakeTopic:
        """Open a topic."""
        tid = max(self.topics, default=80) + 1
        self.topics[tid] = FakeTopic(tid, fid, subject, **how)
        self.post(tid, words, uid, at)
        return self.topics[tid]

    def post(self, tid: int, words: str | None, uid: int, at: float = 0.0, **how: Any) -> FakePost:
        """Put a post at the end of a topic."""
        topic = self.topics[tid]
        self._numbers += 1
        place = max((post.place for post in topic.posts), default=0) + 1
        made = FakePost(5_000 + self._numbers, uid, words, place, int(at or time.time()), **how)
        topic.posts.append(made)
        self.names.setdefault(uid, f"用户{uid}")
        return made

    def find(self, pid: int) -> FakePost | None:
        """Return a post that stands, or None."""
        every = (post for topic in self.topics.values() if not topic.gone for post in topic.standing())
        return next((post for post in every if post.pid == pid), None)

    def said(self, mark: str) -> int:
        """Return how often the account has said something with ``mark`` in it."""
        every = (post for topic in self.topics.values() for post in topic.posts)
        return sum(post.uid == self.uid and mark in (post.words or "") for post in every)

    def lapse(self) -> None:
        """End every session: who was signed in is a visitor from now on."""
        self._sessions.clear()

    def cookies(self) -> str:
        """Return the cookies of a browser that is signed in."""
        self._sessions["browser-auth"] = self.uid
        return f"{PREFIX}auth=browser-auth; {PREFIX}saltkey=k3y"

    # --- the wire ------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        query = dict(request.query)
        module = "feed" if query.get("mod") == "rss" else query.get("module", "")
        self.calls[module] += 1
        self.requests.append((module, query, raw))
        if (spoilt := self._spoilt(module)) is not None:
            return spoilt
        if module == "feed":
            return self._feed(int(query.get("fid", "0")))
        if not request.path.endswith("/api/mobile/index.php"):
            return web.Response(status=404, text="<html>404</html>", content_type="text/html")
        answer = self._judge(module, request, self._form(query, raw))
        if self._take(self.faults.drop_after, module):
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
        return answer

    def _take(self, counter: Counter[str], module: str) -> bool:
        counter[module] -= 1
        return counter[module] >= 0

    def _spoilt(self, module: str) -> web.Response | None:
        if statuses := self.faults.statuses.get(module):
            return web.Response(status=statuses.popleft(), text="<html>busy</html>", content_type="text/html")
        if raw := self.faults.raw.get(module):
            return web.Response(body=raw.popleft(), content_type="application/json")
        if self.faults.closed and module not in ("feed", "check"):
            return _json({"error": self.faults.closed})
        return None

    def _form(self, query: Mapping[str, str], raw: bytes) -> dict[str, str]:
        """Return the form as the site understands it: a GBK site must be told that what comes is UTF-8."""
        coding = self.charset if query.get("charset", self.charset) == self.charset else query["charset"]
        coding = "gb18030" if coding.startswith("gb") else coding
        return dict(parse_qsl(raw.decode("ascii", "replace"), True, encoding=coding, errors="replace"))

    def _uid(self, request: web.Request) -> int:
        return self._sessions.get(request.cookies.get(f"{PREFIX}auth", ""), 0)

    def _hash(self, uid: int) -> str:
        return hashlib.md5(f"form {uid}".encode()).hexdigest()[8:16]  # noqa: S324 - as the real one does

    def _judge(self, module: str, request: web.Request, form: dict[str, str]) -> web.Response:
        uid = self._uid(request)
        if (
            "submit" in "".join(request.query)
            and module != "login"
            and form.get("formhash") != self._hash(uid)
        ):
            self.refused_hashes += 1
            return web.Response(status=503, text=PAGE.format(host=request.host), content_type="text/html")
        if module == "check":
            return _json(self._site())
        if module == "login":
            return self._login(request, form)
        if messages := self.faults.messages.get(module):
            return self._told(uid, {}, messages.popleft())
        if module == "topicadmin":
            return self._moderate(uid, request.query, form)
        steps = {
            "forumindex": self._index,
            "forumdisplay": self._list,
            "viewthread": self._view,
            "sendreply": self._reply,
        }
        if module not in steps:
            return _json({"error": "module_not_exists"})
        variables, message = steps[module](uid, {**request.query, **form})
        return self._told(uid, variables, message)

    def _site(self) -> Body:
        return {
            "discuzversion": "X3.2",
            "truediscuzversion": "X3.4" if self.charset == "gbk" else "X3.5",
            "charset": self.charset,
            "version": "4",
            "pluginversion": "1.4.8",
            "sitename": "工会论坛",
        }

    def _told(self, uid: int, variables: Body, message: str = "", cookie: str = "") -> web.Response:
        base: Body = {
            "cookiepre": PREFIX,
            "auth": cookie or None,
            "saltkey": "k3y",
            "member_uid": str(uid),
            "member_username": self.names.get(uid, "") if uid else "",
            "groupid": "3" if uid else "7",
            "formhash": self._hash(uid),
            "ismoderator": None,
            "readaccess": "1",
            "notice": {"newpush": "0", "newpm": "0"},
        }
        body: Body = {"Version": "4", "Charset": self.charset.upper(), "Variables": {**base, **variables}}
        if message:
            body["Message"] = {"messageval": message, "messagestr": f"mobile:{message}"}
        return _json(body)

    # --- accounts ------------------------------------------------------------------------------------

    def _login(self, request: web.Request, form: dict[str, str]) -> web.Response:
        if request.query.get("version") != "1":
            return web.Response(status=503, text=PAGE.format(host=request.host), content_type="text/html")
        if messages := self.faults.messages.get("login"):
            return self._told(0, {}, messages.popleft())
        if self.faults.image_code:
            return self._told(0, {}, "submit_seccode_invalid")
        if (form.get("username"), form.get("password")) != (self.username, self.password):
            return self._told(0, {}, "login_invalid")
        cookie = f"auth{len(self._sessions)}-{self.calls['login']}"
        self._sessions[cookie] = self.uid
        answer = self._told(self.uid, {}, "login_succeed", cookie)
        answer.set_cookie(f"{PREFIX}auth", cookie, httponly=True)
        answer.set_cookie(f"{PREFIX}saltkey", "k3y", httponly=True)
        return answer

    # --- reading -------------------------------------------------------------------------------------

    def _index(self, _uid: int, _query: Mapping[str, str]) -> tuple[Body, str]:
        rows = [{"fid": str(fid), "name": name} for fid, name in self.forums.items()]
        return {"forumlist": rows}, ""

    def _is_moderator(self, uid: int, fid: int) -> str:
        return "1" if uid == self.uid and fid in self.moderated else "0"

    def _list(self, uid: int, query: Mapping[str, str]) -> tuple[Body, str]:
        fid = int(query["fid"])
        if fid not in self.forums:
            return {"forum": {"password": "0"}, "forum_threadlist": [], "tpp": None}, "forum_nonexistence"
        mine = [one for one in self.topics.values() if one.fid == fid and not one.gone]
        pinned = [one for one in mine if one.pinned]
        usual = sorted((one for one in mine if not one.pinned), key=lambda one: -one.last)
        pages = max(1, math.ceil(len(usual) / self.per_list))
        page = min(int(query.get("page", "1")), pages)
        shown = (pinned if page == 1 else []) + usual[(page - 1) * self.per_list : page * self.per_list]
        return {
            "ismoderator": self._is_moderator(uid, fid),
            "forum": {"fid": str(fid), "name": self.forums[fid], "password": "0"},
            "forum_threadlist": [self._line(one) for one in shown],
            "tpp": str(self.per_list),
            "page": str(page),
        }, ""

    def _line(self, topic: FakeTopic) -> Body:
        first = topic.posts[0]
        return {
            "tid": str(topic.tid),
            "author": self.names[first.uid],
            "authorid": str(first.uid),
            "subject": html.escape(topic.subject),
            "dateline": "30&nbsp;秒前",
            "lastpost": "刚刚",
            "replies": str(len(topic.standing()) - 1),
            "displayorder": "1" if topic.pinned else "0",
            "closed": topic.closed,
            "dbdateline": str(first.at),
            "dblastpost": str(topic.last),
        }

    def _view(self, uid: int, query: Mapping[str, str]) -> tuple[Body, str]:
        topic = self.topics.get(int(query["tid"]))
        empty: Body = {"thread": {"lastpost": "1970-1-1 08:00"}, "postlist": [], "ppp": str(self.per_page)}
        if topic is None or topic.gone:
            return empty, "thread_nonexistence"
        moderates = self._is_moderator(uid, topic.fid) == "1"
        variables = {**empty, "ismoderator": self._is_moderator(uid, topic.fid), "fid": str(topic.fid)}
        variables["thread"] = {
            "tid": str(topic.tid),
            "fid": str(topic.fid),
            "subject": html.escape(topic.subject),
            "replies": str(len(topic.standing()) - 1),
            "maxposition": str(topic.posts[-1].place),
        }
        if "viewpid" in query:
            found = next((post for post in topic.posts if str(post.pid) == query["viewpid"]), None)
            variables["postlist"] = [{} if found is None else self._row(topic, found, 1, moderates)]
            return variables, "" if found and not found.gone else "post_not_found"
        variables["postlist"] = self._page(topic, int(query.get("page", "1")), moderates)
        return variables, ""

    def _page(self, topic: FakeTopic, page: int, moderates: bool) -> list[Body]:
        rows = topic.posts if self.faults.by_place else topic.standing()
        page = max(1, min(page, math.ceil(len(rows) / self.per_page)))
        begin = (page - 1) * self.per_page
        shown = rows[begin : begin + self.per_page]
        return [self._row(topic, post, begin + n, moderates) for n, post in enumerate(shown, 1)]

    def _row(self, topic: FakeTopic, post: FakePost, floor: int, moderates: bool) -> Body:
        if post.gone:
            return {"pid": str(post.pid), "position": str(post.place), "message": ""}
        message = HIDDEN if post.status & 1 and not moderates else _shown(post.words)
        return {
            "pid": str(post.pid),
            "tid": str(topic.tid),
            "first": "1" if post.place == 1 else "0",
            "author": "" if post.anonymous else self.names[post.uid],
            "authorid": "0" if post.anonymous else str(post.uid),
            "dateline": "35&nbsp;秒前",
            "message": message,
            "anonymous": "1" if post.anonymous else "0",
            "attachment": "0",
            "status": str(post.status),
            "position": str(post.place),
            "number": str(floor),
            "dbdateline": str(post.at),
            **post.row,
        }

    def _feed(self, fid: int) -> web.Response:
        coding = "gbk" if self.charset == "gbk" else "utf-8"
        if self.faults.no_feed:
            return web.Response(text="RSS Disabled", content_type="text/html")
        self.faults.empty_feed, is_empty = max(0, self.faults.empty_feed - 1), self.faults.empty_feed > 0
        mine = [] if is_empty else [one for one in self.topics.values() if one.fid == fid and not one.gone]
        items = "".join(self._item(one) for one in sorted(mine, key=lambda one: -one.posts[0].at)[:20])
        text = (
            f'<?xml version="1.0" encoding="{coding}"?>\n<rss version="2.0">\n  <channel>\n'
            f"    <title>工会论坛</title>\n    <ttl>60</ttl>\n{items}  </channel>\n</rss>"
        )
        return web.Response(body=text.encode(coding, "replace"), content_type="application/xml")

    def _item(self, topic: FakeTopic) -> str:
        first = topic.posts[0]
        return (
            f"    <item>\n      <title>{html.escape(topic.subject)}</title>\n"
            f"      <link>{self.url}/forum.php?mod=viewthread&amp;tid={topic.tid}</link>\n"
            f"      <description><![CDATA[{html.escape((first.words or '')[:250])}]]></description>\n"
            f"      <author>{self.names[first.uid]}</author>\n"
            f"      <pubDate>{formatdate(first.at)}</pubDate>\n    </item>\n"
        )

    # --- writing -------------------------------------------------------------------------------------

    def _reply(self, uid: int, query: Mapping[str, str]) -> tuple[Body, str]:
        topic, words = self.topics.get(int(query["tid"])), query.get("message", "")
        if not uid:
            return {"tid": "0"}, "replyperm_login_nopermission//1"
        if topic is None or topic.gone:
            return {"tid": "0"}, "thread_nonexistence"
        if not words:
            return {}, "post_sm_isnull"
        if len(words.encode()) < 10:
            return {}, "post_message_tooshort"
        made = self.post(topic.tid, words, uid)
        return {"tid": str(topic.tid), "pid": str(made.pid)}, "post_reply_succeed"

    def _moderate(self, uid: int, query: Mapping[str, str], form: Mapping[str, str]) -> web.Response:
        topic = self.topics.get(int(query.get("tid", form.get("tid", "0"))))
        action, pid = query.get("action", ""), int(form.get("topiclist[]", "0"))
        if topic is None or topic.gone:
            return self._told(
                uid, {}, "admin_moderate_invalid" if action == "moderate" else "thread_nonexistence"
            )
        if self._is_moderator(uid, topic.fid) != "1":
            return self._told(uid, {}, "admin_nopermission")
        found = next((post for post in topic.standing() if post.pid == pid), None)
        if action == "moderate" and form.get("operations[]") == "delete":
            topic.gone = True
            self.done[f"delete {topic.tid}"] += 1
        elif action == "delpost" and found is topic.posts[0]:
            return web.Response(text="<!DOCTYPE html>\r\n<html>主题</html>", content_type="text/html")
        elif action == "delpost" and found is not None:
            found.gone = True
            self.done[f"delpost {pid}"] += 1
        elif action == "banpost" and found is not None:
            found.status = found.status & ~1 | int(form.get("banned", "0") == "1")
            self.done[f"banpost={form.get('banned')} {pid}"] += 1
        return self._told(uid, {}, "admin_succeed")  # for what is not there as well


def _shown(words: str | None) -> str | None:
    """Return words as the interface shows them: escaped twice, with the marks of the forum turned into HTML."""
    if words is None:
        return None
    text = html.escape(html.escape(words, quote=True), quote=False).replace("\n", "<br />\n")
    text = re.sub(r"\[url=(.*?)\](.*?)\[/url\]", r'<a href="\1">\2</a>', text, flags=re.DOTALL)
    return re.sub(r"\[quote\](.*?)\[/quote\]", r'<div class="reply_wrap">\1</div>', text, flags=re.DOTALL)


def _json(value: Any) -> web.Response:
    """Answer as the forum encodes it: all ASCII, and nothing at all in the place of words that it cannot convert."""
    text = json.dumps(value).replace("/", "\\/").replace('"message": null', '"message":')
    return web.Response(text=text, content_type="application/json")
