"""`feedhandler strategy`: patterns and breakers against days whose truth is known."""
