"""FIX 4.4 over a byte stream: frames, fields, a table of messages, and the session as a state
machine without a socket.

Source: FIX 4.4 specification with errata 20030618, volumes 1 (structure, BodyLength, CheckSum) and
2 (session protocol).
"""
