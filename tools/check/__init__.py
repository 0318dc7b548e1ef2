"""What `make check` and `make test` run, and the house rules that no general linter knows."""
