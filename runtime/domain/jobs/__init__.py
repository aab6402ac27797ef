"""A job and what it leaves behind: its life, its options, its records, its checkpoint, its draws.
May import `domain.models`, `domain.money.amounts`, `domain.templates` and what is below them.
"""
