"""Everything that one transaction can touch, over SQL."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.adapters.sql.link import Link
from monitor.adapters.sql.store_admin import SqlAccounts, SqlChannels, SqlOperations, SqlQuarantine
from monitor.adapters.sql.store_alerts import SqlAlerts
from monitor.adapters.sql.store_cases import SqlCases, SqlClaims, SqlDecisions, SqlEvents, SqlReplies
from monitor.adapters.sql.store_out import SqlLedger, SqlOutbox
from monitor.adapters.sql.store_posts import SqlJobs, SqlPosts, SqlReadings
from monitor.adapters.sql.store_trends import SqlTrends
from monitor.core import ports


@dataclass(slots=True)
class SqlStore:
    """The repositories of one transaction (see :class:`monitor.core.ports.Store`)."""

    posts: ports.Posts
    jobs: ports.Jobs
    readings: ports.Readings
    cases: ports.Cases
    events: ports.Events
    decisions: ports.Decisions
    replies: ports.Replies
    claims: ports.Claims
    outbox: ports.Outbox
    ledger: ports.Ledger
    channels: ports.Channels
    quarantine: ports.Quarantine
    accounts: ports.Accounts
    trends: ports.Trends
    operations: ports.Operations
    alerts: ports.Alerts


def over(link: Link) -> SqlStore:
    """Return the repositories over an open transaction."""
    return SqlStore(
        posts=SqlPosts(link),
        jobs=SqlJobs(link),
        readings=SqlReadings(link),
        cases=SqlCases(link),
        events=SqlEvents(link),
        decisions=SqlDecisions(link),
        replies=SqlReplies(link),
        claims=SqlClaims(link),
        outbox=SqlOutbox(link),
        ledger=SqlLedger(link),
        channels=SqlChannels(link),
        quarantine=SqlQuarantine(link),
        accounts=SqlAccounts(link),
        trends=SqlTrends(link),
        operations=SqlOperations(link),
        alerts=SqlAlerts(link),
    )
