"""SoupBinTCP 3.00: sequenced messages over TCP, with login, heartbeats and an end of session."""
