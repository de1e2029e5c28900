"""The QQ official bot keeps the contract by its other way as well: signed pushes."""

from __future__ import annotations

from rig_qqbot import WebhookRig

from monitor.testing.connector_suite import contract

TestQQBotWebhook = contract(WebhookRig)
