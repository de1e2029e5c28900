"""The error tree: every failure that crosses a module border is one of these.

    HuiyinError
    ├── ConfigError            the configuration names a wrong key, value or secret
    ├── PluginError            a plug-in broke its contract
    ├── ConnectorError
    │   ├── Unavailable        the source does not answer; try again
    │   ├── RateLimited        the source asks to wait (``retry_at``)
    │   ├── Rejected           the source refused; trying again will not help
    │   ├── Malformed          what came cannot be read
    │   └── Uncertain          sent, but nobody knows whether it arrived
    ├── ClassifierError
    ├── StoreError
    │   ├── Conflict           somebody else was faster
    │   └── NotFound
    └── PolicyError
        ├── NotAllowed         this actor may not do this
        ├── BadMove            not a move of the table
        └── BadInput           a field is missing, too long or of the wrong kind

``code`` is stable and safe to log; ``str(error)`` is one sentence that is safe to show and never holds
member text, identities or secrets.
"""

from __future__ import annotations

from datetime import datetime


class HuiyinError(Exception):
    """Base of every error that Huiyin raises on purpose."""

    code = "error"


class ConfigError(HuiyinError):
    """The configuration is wrong; the message names file and key."""

    code = "config"


class PluginError(HuiyinError):
    """A plug-in broke its contract or failed in a way that it did not declare."""

    code = "plugin"


class ConnectorError(HuiyinError):
    """A connector could not do what it was asked."""

    code = "connector"


class Unavailable(ConnectorError):
    """The source does not answer; the call may be repeated later."""

    code = "connector.unavailable"


class RateLimited(ConnectorError):
    """The source asks to wait until ``retry_at``."""

    code = "connector.rate_limited"

    def __init__(self, message: str, retry_at: datetime) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class Rejected(ConnectorError):
    """The source refused for good; a person has to look."""

    code = "connector.rejected"


class Malformed(ConnectorError):
    """What came from the source cannot be read; ``reason`` is a stable code for the quarantine."""

    code = "connector.malformed"

    def __init__(self, message: str, reason: str = "malformed") -> None:
        super().__init__(message)
        self.reason = reason


class Uncertain(ConnectorError):
    """The call left, and its outcome is unknown: read back before sending again (rule E-03)."""

    code = "connector.uncertain"


class ClassifierError(HuiyinError):
    """A classifier or its model files cannot be used."""

    code = "classifier"


class StoreError(HuiyinError):
    """The store refused."""

    code = "store"


class Conflict(StoreError):
    """The row changed since it was seen; nothing was written."""

    code = "store.conflict"


class NotFound(StoreError):
    """No such row."""

    code = "store.not_found"


class PolicyError(HuiyinError):
    """A rule of the house forbids it."""

    code = "policy"


class NotAllowed(PolicyError):
    """This actor may not do this."""

    code = "policy.not_allowed"


class BadMove(PolicyError):
    """The case cannot go from its state by this action."""

    code = "policy.bad_move"


class BadInput(PolicyError):
    """A field is missing, too long or of the wrong kind."""

    code = "policy.bad_input"
