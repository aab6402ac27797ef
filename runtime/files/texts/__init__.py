"""What documents say, kind by kind: read in the document child and nowhere else. Nothing here opens
a file or knows of a process. May import `domain`.
"""
