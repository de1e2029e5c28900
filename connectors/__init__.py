"""Connectors: one file per channel, found by entry point; they know the core and nothing else of the service."""
