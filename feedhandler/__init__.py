"""A market-data feed handler and signal server: Python source, machine-code hot path."""

__version__ = "0.1.0"
