"""FIX market data (W and X of FIX 4.2, 4.4 and 5.0 SP2), a record for each change of a book."""
