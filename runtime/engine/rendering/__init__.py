"""Prompts, rendered in a child process that can be killed: the parent, the child, the filters.
May import `domain` and `contract`; the child imports as little as it can, it has to start quickly.
"""
