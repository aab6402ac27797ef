"""The command `seedwright`: options, output, exit codes, signals. It decides nothing else.
May import everything but the public face above it.
"""
