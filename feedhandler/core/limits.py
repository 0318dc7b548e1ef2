"""Limits that configurations are held against; known without loading a compiler."""

SHARDS_MAX = 64
"""Engines of a server, each with threads and instruments of its own."""

FEEDS_MAX = 8
"""Feeds of one server."""
