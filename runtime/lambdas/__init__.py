"""The handlers: a module for each operation of the API and each event, one endpoint, one router.
May import `bootstrap` and what is below, but no adapter; never `worker`, its neighbour.
"""
