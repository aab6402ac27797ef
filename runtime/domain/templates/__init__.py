"""Templates: their text, their document, the check of their syntax tree, what a prompt may use.
May import `domain.errors` and `contract`; Jinja2 only where a tree is looked at.
"""
