"""The synthetic exchange: a matching engine, a seeded order flow, and the feeds that a handler
reads.

It's the oracle of the feed handler, so it shares the protocols with it and never its book or its
sequencer.
"""
