"""The whole thing on one machine: exchange, server and OMS client as three processes, a live table,
and a verdict.
"""
