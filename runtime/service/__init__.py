"""What operations of the API decide, however called: access, admission, launching, recovery.
May import `engine`, `export` and what is below; it sees ports, never an adapter.
"""
