"""Indices of texts, exact and near, in a bounded number of bytes a text."""
