"""Nasdaq TotalView-ITCH 5.0 over MoldUDP64, with re-request and GLIMPSE recovery."""
