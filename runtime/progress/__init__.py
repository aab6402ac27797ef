"""How far a run is: the figures, and displays that show them.
May import `domain` and `contract`; the command and the library share it.
"""
