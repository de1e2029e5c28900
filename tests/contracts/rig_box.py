"""The suggestion box: the service's own pages are its counterpart, so nothing comes through the connector."""

from __future__ import annotations

from monitor.core.model import Effect
from monitor.testing import connector_suite as suite


class Rig(suite.Rig):
    type = "box"

    def happened(self, done: Effect) -> int:
        """Say that it can be read: the page shows every approved answer, whether or not it was performed."""
        return 1
