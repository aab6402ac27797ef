"""Seedwright's rooms: from the command, the server and the client down to domain and contract.
Imports go down only; `pyproject.toml` has the layers, `docs/architecture.md` what lives where.
"""
