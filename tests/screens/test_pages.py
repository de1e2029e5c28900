"""Each page headless: what it shows to whom, and what a press does to the store."""

from __future__ import annotations

from typing import Any

import pytest
import screens_seed

from monitor.core.model import Action, CaseKind, CaseState, Role, RuleCode
from monitor.core.ports import CaseFilter
from monitor.usecases import accounts
from monitor.usecases.deps import Deps
from review_ui import navigation
from review_ui.parts.desk import Desk


def html(at: Any) -> str:
    """Return all HTML of a page as one string."""
    return "\n".join(str(element.proto.body) for element in at.get("html"))


def labels(at: Any) -> list[str]:
    """Return the labels of all buttons."""
    return [button.label for button in at.button]


def settle(at: Any, key: str) -> None:
    """Press a button of the queue after the dwell time."""
    desk: Desk = at.session_state["desk"]
    desk.shown = (desk.shown[0], desk.shown[1], 0.0)
    next(b for b in at.button if b.key and b.key.startswith(key)).click()
    at.run()
    assert not at.exception


def pending(world: Deps, *kinds: CaseKind) -> list[Any]:
    with world.uow.read() as store:
        return store.cases.page(CaseFilter(kinds=kinds, states=(CaseState.PENDING,)), None, 500)


@pytest.mark.parametrize(
    ("login", "pages"),
    [
        ("mod.li", ["queue", "browse", "mine", "appeals", "me"]),
        ("lead.chen", ["answer", "replies", "me"]),
        ("off.zhao", ["queue", "browse", "appeals", "replies", "cases", "trends", "health", "me"]),
        ("hand.sun", ["cases", "me"]),
        ("adm.qian", ["health", "accounts", "me"]),
    ],
)
def test_each_role_sees_its_pages_and_each_page_opens(
    opened: Any, world: Deps, login: str, pages: list[str]
) -> None:
    with world.uow.read() as store:
        actor = store.accounts.get(login).actor()
    assert [screen.name for screen in navigation.screens_of(actor)] == pages
    for page in pages:
        assert opened(login, page).title, page
        assert opened(login, page, lang="en").title, page


def test_an_officer_begins_with_cases_and_finds_what_was_escalated(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    case = at.session_state["desk"].item
    settle(at, "escalate_")
    assert at.session_state["desk"].item != case
    assert "诉求办理" in [title.value for title in opened("off.zhao").title]
    assert opened("off.zhao", "queue").session_state["desk"].item == case


def test_no_session_shows_nothing(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    at.user = {"login": "mod.li", "sid": "forged", "lang": "zh", "keys": "on"}
    at.run()
    assert "登录已结束" in html(at)
    assert not at.button


def test_a_session_serves_only_its_own_login(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    at.user = {**at.user, "login": "adm.qian"}
    at.run()
    assert not at.button


def test_a_disabled_account_can_do_nothing_more(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    before = len(pending(world, CaseKind.MODERATION, CaseKind.CARE))
    with world.uow.read() as store:
        admin = store.accounts.get("adm.qian").actor()
    accounts.disable(world, admin, "mod.li")
    desk: Desk = at.session_state["desk"]
    desk.shown = (desk.shown[0], desk.shown[1], 0.0)
    next(b for b in at.button if b.key and b.key.startswith("keep_")).click()
    at.run()
    assert len(pending(world, CaseKind.MODERATION, CaseKind.CARE)) == before
    assert "登录已结束" in html(at)


def test_keep_settles_the_item_and_shows_the_next(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    first = at.session_state["desk"].item
    settle(at, "keep_")
    assert at.session_state["desk"].item not in (None, first)
    with world.uow.read() as store:
        assert store.cases.get(first).state is CaseState.DECIDED
        assert store.decisions.of(first)[-1].action is Action.KEEP
    assert f"通过 #{first}" in html(at)


def test_a_press_in_the_dwell_time_does_nothing(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    first = at.session_state["desk"].item
    next(b for b in at.button if b.key and b.key.startswith("keep_")).click()
    at.run()
    assert at.session_state["desk"].item == first
    with world.uow.read() as store:
        assert not store.decisions.of(first)


def spam_on_screen(at: Any, world: Deps) -> int:
    """Skip until a spam case stands on screen."""
    for _step in range(40):
        item: int = at.session_state["desk"].item
        with world.uow.read() as store:
            if "spam" in store.cases.get(item).policy:
                return item
        settle(at, "skip_")
    raise AssertionError("no spam case came")


def test_remove_takes_a_ground_and_the_highlighted_quote(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    case = spam_on_screen(at, world)
    settle(at, "remove_")
    assert at.session_state["desk"].mode == "remove"
    settle(at, f"rule_{RuleCode.SPAM_AD}")
    with world.uow.read() as store:
        made = store.decisions.of(case)[-1]
        assert made.action is Action.REMOVE
        assert made.rule is RuleCode.SPAM_AD
        assert made.quote is not None
        post = store.posts.get(made.quote.post_id)
        assert post.text[made.quote.start : made.quote.end] == made.quote.text
        assert store.outbox.of_decision(made.id)


def test_own_words_that_are_not_in_the_text_remove_nothing(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    case = spam_on_screen(at, world)
    settle(at, "remove_")
    at.segmented_control(key=f"quote_{case}").set_value("own").run()
    at.text_input(key=f"own_{case}").set_value("这句话不在原文里").run()
    settle(at, f"rule_{RuleCode.SPAM_AD}")
    with world.uow.read() as store:
        assert not store.decisions.of(case)
    assert "引文不在原文中" in html(at)


def test_undo_brings_the_item_back(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    case = spam_on_screen(at, world)
    settle(at, "remove_")
    settle(at, f"rule_{RuleCode.FRAUD}")
    settle(at, "tool_undo")
    assert at.session_state["desk"].item == case
    with world.uow.read() as store:
        assert store.cases.get(case).state is CaseState.PENDING
        assert store.decisions.of(case)[-1].undone_at is not None


def test_a_stale_screen_changes_nothing(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    first = at.session_state["desk"].item
    with world.uow.begin() as store:
        case = store.cases.get(first)
        store.cases.save(case, case.version)
    settle(at, "keep_")
    with world.uow.read() as store:
        assert not store.decisions.of(first)
    assert "没有执行" in html(at)


def test_skip_leaves_the_item_to_a_colleague(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    first = at.session_state["desk"].item
    settle(at, "skip_")
    assert at.session_state["desk"].item != first
    assert opened("mod.wang").session_state["desk"].item == first


def test_two_moderators_hold_different_items(opened: Any, world: Deps) -> None:
    mine, theirs = opened("mod.li"), opened("mod.wang")
    assert mine.session_state["desk"].item != theirs.session_state["desk"].item


def test_a_cluster_is_announced_before_the_act(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    for _step in range(40):
        if "同文 12 条" in html(at):
            assert "5 个群" in html(at)
            return
        settle(at, "skip_")
    raise AssertionError("the campaign never came")


def test_release_pauses_and_takes_up_again(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    settle(at, "tool_release")
    assert at.session_state["desk"].item is None
    assert "已暂停" in html(at)
    settle(at, "tool_release")
    assert at.session_state["desk"].item is not None


def test_member_text_is_escaped_everywhere(opened: Any, world: Deps) -> None:
    at = opened("mod.li", "browse")
    at.text_input(key="browse_query").set_value("evil.example").run()
    shown = html(at)
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<img" not in shown
    assert "<iframe" not in shown
    for kind in ("markdown", "caption", "button"):
        assert not any("evil.example" in str(element.proto) for element in at.get(kind))


def test_no_page_names_an_author(opened: Any, world: Deps) -> None:
    with world.uow.read() as store:
        posts = store.posts.page(screens_seed.PostFilter(), None, 100)
    authors = {post.author for post in posts}
    for login, page in (
        ("mod.li", "queue"),
        ("mod.li", "browse"),
        ("off.zhao", "cases"),
        ("lead.chen", "answer"),
    ):
        shown = html(opened(login, page))
        assert not [author for author in authors if author in shown]


def test_an_officer_moves_a_case_as_the_table_allows(opened: Any, world: Deps) -> None:
    at = opened("off.zhao", "cases")
    press = next(b for b in at.button if b.key.startswith("move_accept_"))
    case = int(press.key.split("_")[2])
    press.click().run()
    with world.uow.read() as store:
        assert store.cases.get(case).state is CaseState.ACCEPTED
    assert "受理" in html(at)


def test_a_leader_drafts_and_another_person_approves(opened: Any, world: Deps) -> None:
    at = opened("lead.chen", "answer")
    case = pending(world, CaseKind.CLARIFICATION)[0].id
    at.text_area(key=f"draft_{case}_0").set_value("经核实：下月绩效方案没有变化，以工会公告为准。").run()
    next(b for b in at.button if b.key.startswith(f"submit_{case}_")).click().run()
    assert "已提交" in html(at)
    with world.uow.read() as store:
        (draft,) = store.replies.of(case)
        assert not store.outbox.of_case(case)
    at = opened("off.zhao", "replies")
    next(b for b in at.button if b.key == f"approve_{draft.id}_{draft.version}").click().run()
    assert "已批准" in html(at)
    with world.uow.read() as store:
        assert store.outbox.of_case(case)


def test_the_author_of_a_draft_cannot_approve_it(opened: Any, world: Deps) -> None:
    at = opened("lead.chen", "answer")
    case = pending(world, CaseKind.CLARIFICATION)[0].id
    at.text_area(key=f"draft_{case}_0").set_value("核实中，稍后答复。").run()
    next(b for b in at.button if b.key.startswith(f"submit_{case}_")).click().run()
    at = opened("lead.chen", "replies")
    assert next(b for b in at.button if b.key.startswith("approve_")).disabled


def test_small_cells_are_said_to_be_hidden(opened: Any, world: Deps) -> None:
    at = opened("off.zhao", "trends")
    assert "为保护个人不显示" in html(at)
    assert not at.exception


def test_health_lists_what_could_not_be_read(opened: Any, world: Deps) -> None:
    from monitor.core.model import Broken
    from monitor.usecases import ingest

    ingest.ingest(world, "qq", [Broken("qq", "json", "not JSON", b"{", "7")])
    at = opened("off.zhao", "health")
    tables = [frame.value.to_string() for frame in at.dataframe]
    assert any("not JSON" in table for table in tables)
    assert any("错误率" in table and "0%（0/" in table for table in tables)


def test_an_admin_adds_and_disables_an_account(opened: Any, world: Deps) -> None:
    at = opened("adm.qian", "accounts")
    fields = {field.label: field for field in at.text_input}
    fields["账号（字母数字）"].set_value("mod.new")
    fields["姓名"].set_value("新人")
    fields["初始密码"].set_value(screens_seed.PASSWORD)
    at.button_group[0].set_value([Role.MODERATOR])
    next(b for b in at.button if b.label == "新增").click().run()
    assert accounts.sign_in(world, "mod.new", screens_seed.PASSWORD, "127.0.0.1")
    at = opened("adm.qian", "accounts")
    at.button(key="disable_mod.new").click().run()
    with world.uow.read() as store:
        assert not store.accounts.get("mod.new").active


def test_my_decisions_can_be_undone_from_their_page(opened: Any, world: Deps) -> None:
    at = opened("mod.li")
    first = at.session_state["desk"].item
    settle(at, "keep_")
    at = opened("mod.li", "mine")
    next(b for b in at.button if b.key.startswith("undo_")).click().run()
    with world.uow.read() as store:
        assert store.cases.get(first).state is CaseState.PENDING


def test_signing_out_everywhere_ends_this_session_too(opened: Any, world: Deps) -> None:
    at = opened("mod.li", "me")
    at.button(key="out_everywhere").click().run()
    assert "登录已结束" in html(at)


def test_a_person_settles_what_nobody_could(opened: Any, world: Deps) -> None:
    from monitor.core.model import Action, EffectState
    from monitor.usecases import decide, effects

    case = next(c for c in pending(world, CaseKind.MODERATION) if c.policy == "spam")
    with world.uow.read() as store:
        moderator = store.accounts.get("mod.li").actor()
        post = store.posts.get(store.cases.post_ids(case.id)[0])
    quote = (post.id, 0, len(post.text))
    request = decide.DecisionRequest(case.id, case.version, Action.REMOVE, RuleCode.SPAM_AD, quote)
    decide.decide(world, moderator, request)
    world.clock.advance(seconds=30)  # type: ignore[attr-defined]
    for one in effects.take(world, 50):
        effects.refused(world, one.effect, "connector.rejected")
    at = opened("off.zhao", "health")
    assert "/appeal/" not in html(at).replace("/appeal/…", "")
    press = next(b for b in at.button if b.key and b.key.startswith("sent_"))
    number = int(press.key.split("_")[1])
    press.click().run()
    with world.uow.read() as store:
        assert store.outbox.get(number).state is EffectState.NEEDS_HUMAN, "a note is needed"
    at.text_input(key=f"saw_{number}").set_value("群里已经看不到了").run()
    next(b for b in at.button if b.key == press.key).click().run()
    with world.uow.read() as store:
        assert store.outbox.get(number).state is EffectState.SENT


def test_health_says_how_the_models_are_doing_when_asked(opened: Any) -> None:
    at = opened("off.zhao", "health")
    before = len(at.dataframe)
    at.button(key="learning_report").click().run()
    assert not at.exception
    assert len(at.dataframe) == before + 1
    shown = at.dataframe[-1].value
    assert list(shown.iloc[:, 0]) == ["spam", "rumour", "grievance", "abuse", "risk"]
    assert all("/" in cell for cell in shown.iloc[:, 1])
