"""Brokers with the hooks that a test brings."""

from tests.brokers import Serve, brokers, serve

__all__ = ["Serve", "brokers", "serve"]
