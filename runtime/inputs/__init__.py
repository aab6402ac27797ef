"""What a dataset or a job is made of, read and checked before anything is created or paid for:
templates and seeds from files or from memory, and options. Imports the domain and `files`.
"""
