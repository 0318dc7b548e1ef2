"""MoldUDP64 1.00: numbered messages over UDP, with heartbeats, end of session and retransmission
requests.
"""
