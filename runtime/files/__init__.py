"""Seed files: read row by row, untrusted Parquet and documents in processes that can be killed, and
kept on the disk for as long as a job draws from them. May import `domain`.
"""
