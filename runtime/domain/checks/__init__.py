"""Checks: which records a dataset keeps. What they are, how their document is read, and the counts
of what they did. Imports the domain.
"""
