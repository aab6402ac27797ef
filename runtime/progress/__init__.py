"""How far a run is, and how that is shown on a terminal, in a pipe and in a notebook; the command
and Python share it. Imports the domain only.
"""
