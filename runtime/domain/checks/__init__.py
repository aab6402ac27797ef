"""Checks over the records of a dataset: what a repeat is, and which records it takes. Imports the
domain.
"""
