"""Nasdaq TotalView-ITCH 5.0: messages as a table, codec, kernels."""
