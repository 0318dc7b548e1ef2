"""SoupBinTCP 3.00 to 4.10: sequenced messages over TCP, with login, heartbeats, end of session."""
