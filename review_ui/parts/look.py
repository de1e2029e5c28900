"""Page configuration and the few styles that themes cannot express."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from monitor.words import _

ICON = Path(__file__).resolve().parent.parent / "icon.png"

_STYLE = """
<style>
.block-container{padding-top:2.5rem}
[data-testid=InputInstructions]{display:none}
.hy-post{font-size:1.08rem;line-height:1.7;max-width:42em;white-space:pre-wrap;overflow-wrap:anywhere;
border:1px solid rgba(128,128,128,.35);border-left:4px solid #9f2b33;border-radius:6px;padding:.7rem 1rem;margin:0}
.hy-post mark{background:#ffe08a;color:#0a0a0a;border-radius:3px;padding:0 .1em;
border-bottom:2px solid #9f2b33;font-weight:600}
.hy-post.hy-plain{border-left-color:rgba(128,128,128,.5)}
.hy-post.hy-small{font-size:.95rem;padding:.4rem .7rem}
.hy-meta{margin:0;font-size:.87rem;line-height:1.7}
.hy-meta b{font-weight:600}
.hy-tag{display:inline-block;border:1px solid rgba(128,128,128,.55);border-radius:4px;padding:0 .45em;
margin:0 .35em .15em 0;font-size:.84rem;line-height:1.6}
.hy-tag.hy-hot{border-color:#9f2b33;border-width:2px;font-weight:600}
.hy-note{border-left:4px solid #4a7dbd;padding:.35rem .8rem;margin:0;background:rgba(74,125,189,.12);border-radius:4px}
.hy-done{border-left:4px solid #2e7d4f;padding:.35rem .8rem;margin:0;background:rgba(46,125,79,.13);border-radius:4px}
.hy-halt{border-left:4px solid #9f2b33;padding:.35rem .8rem;margin:0;background:rgba(159,43,51,.11);border-radius:4px}
.hy-quiet{border-left:4px solid transparent;padding:.35rem .8rem;margin:0}
.hy-line{margin:0 0 .3rem;padding:.15rem 0 .15rem .8rem;border-left:2px solid rgba(128,128,128,.45);font-size:.9rem;
line-height:1.6;overflow-wrap:anywhere}
.hy-who{font-size:.9rem;line-height:1.7;margin:0}
.hy-who a,.hy-meta a{color:inherit}
.hy-fold{filter:blur(6px);user-select:none}
.hy-num{font-variant-numeric:tabular-nums}
</style>
"""


def configure() -> None:
    """Set title and icon; must be the first call of a rerun."""
    st.set_page_config(page_title=_("回音"), page_icon=str(ICON), layout="wide")
    st.html(_STYLE)
