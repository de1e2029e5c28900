"""What to say when a use case refuses: what it means and what to do next, in the reader's language."""

from __future__ import annotations

from monitor.core.errors import BadInput, BadMove, Conflict, HuiyinError, NotAllowed, NotFound
from monitor.words import _


def words(error: HuiyinError) -> str:
    """Return a refusal in plain text; the error's own sentence follows as the detail."""
    return f"{_meaning(error)} [{error}]"


def _meaning(error: HuiyinError) -> str:
    if isinstance(error, Conflict):
        return _("同事刚刚处理过这一条，你的操作没有执行。请看最新内容。")
    if isinstance(error, NotFound):
        return _("找不到这一条，它可能已被清理。")
    if isinstance(error, NotAllowed):
        return _("你没有这项权限，或需要由另一位同事来做。")
    if isinstance(error, BadMove):
        return _("这一条现在不能这样处理。请看最新状态。")
    if isinstance(error, BadInput):
        return _("有内容没有填对，请补充后再试。")
    return _("没有成功，请稍后再试。")
