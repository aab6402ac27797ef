"""Checks of a template over its records: what a repeat is, and which records a dataset takes."""
