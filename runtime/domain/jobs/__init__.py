"""A job and what it leaves behind: its life, its document, its records, its checkpoint, its draws.
May import `domain.errors`, `domain.templates` and `contract`.
"""
