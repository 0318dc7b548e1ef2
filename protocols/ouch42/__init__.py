"""Nasdaq OUCH 4.2, the order side of the ITCH family: messages as a table, codecs for both ways."""
