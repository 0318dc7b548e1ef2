"""`feedhandler fix-echo`: an acceptor that sends every order back, for trying a FIX engine against
ours.
"""
