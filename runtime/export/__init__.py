"""Batches of records, and the files that are made of them: JSONL, Parquet, CSV.
May import `logs`, `domain` and `contract`; it sees ports, never an adapter.
"""
