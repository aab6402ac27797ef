"""One module a command: its options beside what it does. Imports the rest of the command, and what
is below it.
"""
