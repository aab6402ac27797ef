"""Looks at an account and a region, before and after a deployment, with calls that only read.
Reports findings and prints nothing; may import the domain, the contract and what is beside them.
"""
