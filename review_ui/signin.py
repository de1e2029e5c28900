"""Signing in and out: plain pages without scripts, in front of the screens."""

from __future__ import annotations

import asyncio
from html import escape
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from monitor.core.errors import HuiyinError
from monitor.usecases import accounts
from monitor.words import _, speaking
from review_ui import session
from review_ui.gate import COOKIE, KEYS_COOKIE, LANG_COOKIE, safe_next, same_origin

LIFETIME = 12 * 3600
FORM_LIMIT = 16_384
BRAND = "回音"
_STYLE = """
:root{color-scheme:light dark;--ink:#0a0a0a;--paper:#f5f3f0;--card:#fff;--line:#d9d4cd;--red:#9f2b33;--dim:#5b5650}
@media(prefers-color-scheme:dark){:root{--ink:#f2f2f2;--paper:#14161a;--card:#20242b;--line:#3a404a;--red:#cf4250;--dim:#b5b5b5}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);color:var(--ink);
font:16px/1.7 'Noto Sans CJK SC','Noto Sans SC','PingFang SC','Microsoft YaHei',sans-serif}
main{width:min(24rem,calc(100vw - 2rem));background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:2rem 1.75rem}
h1{margin:0;font-size:1.6rem;letter-spacing:.06em}h1 small{font-weight:400;font-size:.95rem;color:var(--dim)}
p{margin:.25rem 0 1.25rem;color:var(--dim)}label{display:block;margin:.9rem 0 .25rem;font-weight:600}
input{width:100%;font:inherit;padding:.55rem .7rem;border:1px solid #8d867d;border-radius:6px;background:transparent;
color:inherit}
button{width:100%;margin-top:1.4rem;font:inherit;font-weight:600;padding:.6rem;border:0;border-radius:6px;
background:var(--red);color:#fff;cursor:pointer}
input:focus-visible,button:focus-visible,a:focus-visible{outline:3px solid #4a7dbd;outline-offset:2px}
.error{border-left:4px solid var(--red);padding:.4rem .8rem;color:var(--ink);background:rgba(159,43,51,.1)}
footer{margin-top:1.25rem;font-size:.875rem;color:var(--dim)}a{color:inherit}
"""


def _lang(request: Request) -> str:
    return "en" if request.cookies.get(LANG_COOKIE) == "en" else "zh"


def _page(request: Request, title: str, body: str, status: int = 200) -> HTMLResponse:
    lang = {"zh": "zh-CN", "en": "en"}[_lang(request)]
    html = (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


def _form(request: Request, base: str, target: str, error: str = "", status: int = 200) -> HTMLResponse:
    with speaking(_lang(request)):
        other, name = ("en", "English") if _lang(request) == "zh" else ("zh", "中文")
        trouble = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
        body = (
            f"<h1>{BRAND} <small>Huiyin</small></h1><p>{_('件件有着落，事事有回音')}</p>{trouble}"
            f'<form method="post" action="{escape(base)}/login">'
            f'<input type="hidden" name="next" value="{escape(target)}">'
            f'<label for="login">{_("用户名")}</label>'
            '<input id="login" name="login" autocomplete="username" required maxlength="64" autofocus>'
            f'<label for="password">{_("密码")}</label>'
            '<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256">'
            f'<button type="submit">{_("登录")}</button></form>'
            f'<footer><a href="{escape(base)}/lang?to={other}&amp;next={escape(base)}/login">{name}</a></footer>'
        )
        return _page(request, _("登录 · 回音"), body, status)


async def _fields(request: Request) -> dict[str, str]:
    """Read a small urlencoded form; anything larger is refused as empty."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_LIMIT:
            return {}
    pairs = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=16)
    return {key: values[0] for key, values in pairs.items()}


def _cookie(request: Request, answer: Response, base: str, name: str, value: str, age: int) -> None:
    secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    answer.set_cookie(name, value, max_age=age, path=f"{base}/", secure=secure, httponly=True, samesite="lax")


def routes(base: str = "") -> list[Route]:
    """Return the routes of this module, served under ``base``."""

    async def login(request: Request) -> Response:
        if request.method != "POST":
            return _form(request, base, safe_next(request.query_params.get("next"), base))
        if not same_origin(request.scope):
            return PlainTextResponse("this form must be sent from its own page", 403)
        fields = await _fields(request)
        target = safe_next(fields.get("next"), base)
        remote = request.client.host if request.client else ""
        name, password = fields.get("login", ""), fields.get("password", "")
        try:
            sid = await asyncio.to_thread(accounts.sign_in, session.deps(), name, password, remote)
        except HuiyinError:
            with speaking(_lang(request)):
                said = _("用户名或密码不对，或尝试太频繁，请稍后再试")
                return _form(request, base, target, said, 403)
        answer = RedirectResponse(target, 303)
        _cookie(request, answer, base, COOKIE, sid, LIFETIME)
        return answer

    async def logout(request: Request) -> Response:
        if request.method != "POST":
            with speaking(_lang(request)):
                body = (
                    f"<h1>{_('退出登录')}</h1><p>{_('未提交的文字请先保存。')}</p>"
                    f'<form method="post" action="{escape(base)}/logout"><button>{_("退出")}</button></form>'
                    f'<footer><a href="{escape(base)}/">{_("返回")}</a></footer>'
                )
                return _page(request, _("退出登录"), body)
        if not same_origin(request.scope):
            return PlainTextResponse("this form must be sent from its own page", 403)
        sid = request.cookies.get(COOKIE)
        if sid:
            await asyncio.to_thread(accounts.sign_out, session.deps(), sid)
        answer = RedirectResponse(f"{base}/login", 303)
        answer.delete_cookie(COOKIE, path=f"{base}/", httponly=True, samesite="lax")
        return answer

    async def state(_request: Request) -> Response:
        return JSONResponse({"signed_in": True}, headers={"Cache-Control": "no-store"})

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok")

    def preference(cookie: str, allowed: tuple[str, ...]) -> Route:
        async def choose(request: Request) -> Response:
            value = request.query_params.get("to", "")
            target = request.query_params.get("next")
            answer = RedirectResponse(safe_next(target, base), 303)
            if value in allowed:
                _cookie(request, answer, base, cookie, value, 365 * 86400)
            return answer

        name = {LANG_COOKIE: "lang", KEYS_COOKIE: "keys"}[cookie]
        return Route(f"{base}/{name}", choose, methods=["GET"])

    return [
        Route(f"{base}/login", login, methods=["GET", "POST"]),
        Route(f"{base}/logout", logout, methods=["GET", "POST"]),
        Route(f"{base}/session", state, methods=["GET"]),
        Route(f"{base}/healthz", healthz, methods=["GET"]),
        preference(LANG_COOKIE, ("zh", "en")),
        preference(KEYS_COOKIE, ("on", "off")),
    ]
