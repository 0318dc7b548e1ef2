"""GLIMPSE 5.0: the state of the market as a snapshot over SoupBinTCP, to join a live ITCH feed in
the middle.
"""
