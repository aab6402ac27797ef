"""The rules, without I/O: jobs, templates, seeds, money, models, the ports and the errors.
May import `contract`; no SDK, no database, no logger.
"""
