"""Turns the XML data dictionaries of QuickFIX into the project's own data files."""
