"""Seeds: rows, the streaming readers of their files, where they may lie, what is wrong with them.
May import `domain.errors` and `contract`.
"""
