"""What leaves for order management systems: a FIX 4.4 acceptor that keeps every signal until it was
asked for.
"""
