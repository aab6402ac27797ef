"""What a dataset looks like: statistics of its records in one pass, and the page that shows them.
May import the records of `export`, `logs`, `domain` and `contract`; no exporter.
"""
