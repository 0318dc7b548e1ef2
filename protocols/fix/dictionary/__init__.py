"""FIX data dictionaries: which fields, values, messages and repeating groups a version has, and
whether a message keeps to them.

`load` gives the dictionary of a version, `check` finds the first fault of a message, `entries`
reads repeating groups and field names. Source: `data/README.md`.
"""
