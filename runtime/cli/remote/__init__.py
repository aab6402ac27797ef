"""Commands that talk to an API, served on a laptop or deployed on AWS.
May import what the command may; what needs no terminal belongs to `client`.
"""
