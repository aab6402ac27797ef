"""Samplers: values that a template draws for each record, beside its seed. What they are, how their
document is read, and the draws: pure functions of random seed, name and index. Imports the domain.
"""
