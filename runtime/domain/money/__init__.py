"""Money: integer nano-USD, the ledger of a worker, estimates before a cent is spent.
May import `domain.models`, `domain.ports` (the ledger alone) and what is below them.
"""
