"""Datasets on this machine: what is asked for, the folder, the run and its outcome; nothing here
prints or reads a terminal. Imports the worker, `bootstrap` and what is below them, never the API.
"""
