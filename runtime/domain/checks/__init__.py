"""Checks: which records a dataset keeps. What they are, how their document is read, the counts of
what they did, and the choice among the records that passed. Imports the domain.
"""
