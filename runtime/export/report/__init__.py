"""What a dataset looks like: statistics of its records in one pass, and the page that shows them.
May import the rest of `export`, `logs`, `domain` and `contract`; the exporter doesn't know it.
"""
