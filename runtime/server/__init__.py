"""The API on a laptop: listener, connections, uploads, signed addresses, the worker's process.
May import `client` and `datasets` and what is below, handlers and worker too.
"""
