"""Money: integer nano-USD, the ledger of a worker, estimates before a cent is spent.
May import `domain.errors`, `domain.models` and `contract`.
"""
