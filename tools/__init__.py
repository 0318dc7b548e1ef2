"""Around the server: synthetic exchange, sample OMS, demo, replay, benchmarks, checks."""
