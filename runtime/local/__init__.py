"""Storage on a laptop: one SQLite file, a folder of objects and journals, behind the ports.
May import `models` and what is below; never `aws` or `service`, its neighbours.
"""
