"""Checks: which records a dataset keeps. What they are, how their document is read, the counts of
what they did, and which of the records that passed are chosen. Imports the domain.
"""
