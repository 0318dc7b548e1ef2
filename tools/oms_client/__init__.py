"""A sample OMS: logs on, acknowledges every order, counts what it got by id, and asks for what it
missed.
"""
