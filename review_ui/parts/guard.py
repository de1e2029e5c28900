"""A few lines of script that Streamlit leaves out: language of the page, held keys, the end of the session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import streamlit as st

from monitor import words
from review_ui import session

# The first line must be a line break: a single line would be taken for a file path.
_SCRIPT = """
export default function (component) {
  const { data } = component;
  document.documentElement.lang = data.lang;
  const state = (window.__huiyin = window.__huiyin || {});
  state.login = data.login;
  state.session = data.session;
  if (state.ready) return;
  state.ready = true;
  const typing = (e) => {
    const t = e.composedPath()[0];
    return t && t.matches && t.matches("input, textarea, select, [contenteditable=true]");
  };
  window.addEventListener("keydown", (e) => {
    if (e.isComposing || e.keyCode === 229 || (e.repeat && !typing(e))) e.stopImmediatePropagation();
  }, true);
  const look = async () => {
    try {
      const answer = await fetch(state.session, { cache: "no-store" });
      if (answer.status === 401) {
        const here = location.pathname + location.search;
        location.href = state.login + "?next=" + encodeURIComponent(here);
      }
    } catch (lost) { /* the server is away; Streamlit says so itself */ }
  };
  setInterval(look, 5000);
  window.addEventListener("focus", look);
}
"""


@cache
def _component() -> Callable[..., Any]:
    return st.components.v2.component("hy_guard", js=_SCRIPT)


def mount() -> None:
    """Place the guard on the page."""
    lang = {"zh": "zh-CN", "en": "en"}[words.language()]
    data = {"lang": lang, "login": session.link("/login"), "session": session.link("/session")}
    _component()(key="hy_guard", data=data)
