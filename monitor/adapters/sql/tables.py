"""The schema, one definition for SQLite and PostgreSQL.

Moments are microseconds since 1970 (UTC) in 64-bit integers, so that buckets are integer arithmetic and both
databases order them alike. Nothing here may be changed without a migration; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    column,
    table,
)

HEAD = "0003"
"""The revision that this version of the program works with."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
Moment = BigInteger

# --- what was said ---------------------------------------------------------------------------------

post = Table(
    "post",
    metadata,
    Column("id", Id, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("newest", SmallInteger, nullable=False),
    Column("edit", SmallInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("posted_at", Moment, nullable=False),
    Column("thread", Text),
    Column("reply_to", Text),
    Column("handle", Text),
    Column("url", Text),
    Column("lang", Text),
    Column("quoted", Text),
    Column("unit", Text),
    Column("source_state", Text, nullable=False),
    Column("source_state_at", Moment),
    Column("group_id", BigInteger),
    Column("removed_by", Text),
    UniqueConstraint("channel", "external_id", "revision"),
    Index("ix_post_handle", "channel", "handle"),
    Index("ix_post_thread", "channel", "thread", "posted_at"),
    Index("ix_post_posted_at", "posted_at", "newest"),
    Index("ix_post_group", "group_id"),
    sqlite_autoincrement=True,
)

tombstone = Table(
    "tombstone",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("thread", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", Text),
)
"""What the source said about a message that has not come yet; ``thread`` is empty when it did not say which."""

identity = Table(
    "identity",
    metadata,
    Column("author", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

contact = Table(
    "contact",
    metadata,
    Column("post_id", Id, ForeignKey("post.id"), primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)

original = Table(
    "original",
    metadata,
    Column("post_id", Id, ForeignKey("post.id"), primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_original_at", "at"),
)
"""The words of a post before masking, sealed; only of posts that were masked, and only until the retention ends."""

post_receipt = Table(
    "post_receipt",
    metadata,
    Column("post_id", Id, ForeignKey("post.id"), primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("post_id", Id, ForeignKey("post.id"), primary_key=True, autoincrement=False),
    Column("due_at", Moment),
    Column("attempt", Integer, nullable=False),
    Column("lease_by", Text),
    Column("error", Text),
    Index("ix_job_due", "due_at", "post_id"),
)
"""``due_at`` is when the job may be taken (again): 0 for a new one, the end of the lease, NULL when parked."""

post_terms = table("post_terms", column("rowid"), column("post_id"), column("folded"), column("terms"))
"""Search terms: an FTS5 table on SQLite (``rowid``), a tsvector beside the folded text on PostgreSQL (``post_id``).

Both are made by raw DDL. SQLite folds with a function of ours; PostgreSQL's own folding is another one.
"""

# --- what was understood ---------------------------------------------------------------------------

model_set = Table(
    "model_set",
    metadata,
    Column("id", Id, primary_key=True),
    Column("models", Text, nullable=False, unique=True),
)

reading = Table(
    "reading",
    metadata,
    Column("post_id", BigInteger, ForeignKey("post.id"), primary_key=True, autoincrement=False),
    Column("set_id", BigInteger, ForeignKey("model_set.id"), primary_key=True, autoincrement=False),
    Column("current", SmallInteger, nullable=False),
    Column("tier", Text, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("spam", Float),
    Column("rumour", Float),
    Column("grievance", Float),
    Column("abuse", Float),
    Column("risk", Float),
    Column("sentiment", Text),
    Column("sentiment_score", Float),
    Column("topic", Text),
    Column("topic_score", Float),
    Column("urgency", Text),
    Column("urgency_score", Float),
    Column("reasons", Text),
    sqlite_with_rowid=False,
)

# --- cases -----------------------------------------------------------------------------------------

case = Table(
    "cases",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("open", SmallInteger, nullable=False),
    Column("waiting", SmallInteger, nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("channel", Text, nullable=False),
    Column("thread", Text),
    Column("unit", Text),
    Column("assignee", Text),
    Column("due_at", Moment),
    Column("topic", Text),
    Column("urgency", Text),
    Column("policy", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("post_count", Integer, nullable=False),
    Column("lease_by", Text),
    Column("lease_until", Moment),
    Column("about_decision", BigInteger),
    Column("opened_by", Text, nullable=False),
    Column("redo_count", Integer, nullable=False),
    Column("group_id", BigInteger),
    Index("ix_cases_rank", "rank", "id"),
    Index("ix_cases_waiting", "waiting", "rank", "id"),
    Index("ix_cases_kind", "kind", "rank", "id"),
    Index("ix_cases_kind_waiting", "kind", "waiting", "rank", "id"),
    Index("ix_cases_group", "group_id", "kind"),
    Index("ix_cases_due", "open", "due_at"),
    Index("ix_cases_lease", "lease_by"),
    sqlite_autoincrement=True,
)
"""``open`` and ``waiting`` follow from ``state`` by the core's table; they make the queue an index walk."""

case_post = Table(
    "case_post",
    metadata,
    Column("case_id", BigInteger, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    Column("post_id", BigInteger, ForeignKey("post.id"), primary_key=True, autoincrement=False),
    Column("position", Integer, nullable=False),
    Index("ix_case_post_post", "post_id"),
)

receipt = Table(
    "receipt",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
)

link_token = Table(
    "link_token",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("target", BigInteger, nullable=False),
    Column("until", Moment),
)

case_event = Table(
    "case_event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    UniqueConstraint("case_id", "seq"),
    Index("ix_case_event_actor", "actor", "id"),
    Index("ix_case_event_kind", "kind", "id"),
    sqlite_autoincrement=True,
)

decision = Table(
    "decision",
    metadata,
    Column("id", Id, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("post_ids", Text, nullable=False),
    Column("rule", Text),
    Column("quote", Text),
    Column("note", Text, nullable=False),
    Column("explanation", Text, nullable=False),
    Column("appeal_until", Moment),
    Column("undo_until", Moment),
    Column("undone_at", Moment),
    Column("second", Text),
    Index("ix_decision_case", "case_id"),
    Index("ix_decision_actor", "actor", "id"),
    sqlite_autoincrement=True,
)

reply = Table(
    "reply",
    metadata,
    Column("id", Id, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("thread", Text),
    Column("to_post", BigInteger),
    Column("signature", Text, nullable=False),
    Column("approved_by", Text),
    Column("approved_at", Moment),
    Column("sent_at", Moment),
    Column("version", Integer, nullable=False),
    Index("ix_reply_case", "case_id"),
    Index("ix_reply_state", "state", "id"),
    sqlite_autoincrement=True,
)

claim = Table(
    "claim",
    metadata,
    Column("id", Id, primary_key=True),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("statement", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("clarification", Text, nullable=False),
    Column("sources", Text, nullable=False),
    Column("owner", Text),
    Column("valid_until", Moment),
    Column("version", Integer, nullable=False),
    Index("ix_claim_case", "case_id"),
    sqlite_autoincrement=True,
)

# --- what leaves -----------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("case_id", BigInteger, ForeignKey("cases.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("thread", Text),
    Column("handle", Text),
    Column("post_id", BigInteger),
    Column("reply_id", BigInteger),
    Column("decision_id", BigInteger),
    Column("text", Text, nullable=False),
    Column("mark", Text, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Moment),
    Column("receipt", Text),
    Column("last_error", Text),
    Column("settled_at", Moment),
    Column("author", Text),
    Index("ix_outbox_due", "state", "not_before", "id"),
    Index("ix_outbox_case", "case_id"),
    Index("ix_outbox_decision", "decision_id"),
    Index("ix_outbox_reply", "reply_id"),
    sqlite_autoincrement=True,
)

ledger = Table(
    "ledger",
    metadata,
    Column("seq", Id, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("prev", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False),
)

# --- how it runs -----------------------------------------------------------------------------------

channel = Table(
    "channel",
    metadata,
    Column("name", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("unit", Text),
    Column("capabilities", Text, nullable=False),
    Column("paused", SmallInteger, nullable=False),
    Column("cursor", Text),
    Column("last_post_at", Moment),
    Column("last_ok_at", Moment),
    Column("last_error", Text),
    Column("next_retry_at", Moment),
    Column("received", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("lag", BigInteger),
    *(
        Column(name, BigInteger, nullable=False, server_default="0")
        for name in ("hour", "oks", "failures", "oks_before", "failures_before")
    ),
)
"""``lag`` is how long the last post was on its way, in microseconds; ``hour`` counts hours since 1970, ``oks`` and
``failures`` the tries of that hour, and those ``_before`` the tries of the hour before it.
"""

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("position", Text),
    Column("size", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

notification = Table(
    "notification",
    metadata,
    Column("id", Id, primary_key=True),
    Column("notifier", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("counts", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("tried_at", Moment),
    Column("attempt", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("fixed", SmallInteger, nullable=False),
    Column("lease_until", Moment),
    Column("last_error", Text),
    Column("settled_at", Moment),
    Index("ix_notification_state", "notifier", "state"),
    sqlite_autoincrement=True,
)

alert = Table(
    "alert",
    metadata,
    Column("notifier", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("notification_id", BigInteger, ForeignKey("notification.id")),
    Index("ix_alert_notification", "notification_id"),
    Index("ix_alert_waiting", "notifier", "notification_id"),
)
"""``notification_id`` is empty while the alert waits; keys hold ids and moments, never words or names of people."""

account = Table(
    "account",
    metadata,
    Column("login", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("unit", Text),
    Column("active", SmallInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("password_hash", Text, nullable=False),
    CheckConstraint("login <> ''", name="login"),
)

session = Table(
    "session",
    metadata,
    Column("sid_hash", Text, primary_key=True),
    Column("login", Text, ForeignKey("account.login"), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Index("ix_session_login", "login"),
)

api_token = Table(
    "api_token",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("login", Text, ForeignKey("account.login"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

failure = Table(
    "failure",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_failure_key", "key", "at"),
)

draft = Table(
    "draft",
    metadata,
    Column("login", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

part = Table(
    "part",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("beat_at", Moment, nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("note", Text, nullable=False),
)

remembered = Table(
    "remembered",
    metadata,
    Column("key", Text, primary_key=True),
    Column("login", Text, primary_key=True),
    Column("answer", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

setting = Table(
    "setting",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
