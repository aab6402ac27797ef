"""Indices of texts, exact and near, in a bounded number of bytes a text. Imports `files`, `disk`
and `domain`; the library for near ones is loaded where one is asked for.
"""
