"""FIX 4.2, 4.4 and FIXT 1.1 with 5.0 SP2 over a byte stream: frames, fields, dictionaries, and the
session as a state machine without a socket.

Source: FIX 4.4 specification with errata 20030618, volumes 1 (structure, BodyLength, CheckSum) and
2 (session protocol); where versions differ, `versions.py` says so.
"""
