"""What a dataset or a job is made of, read and checked before anything is created or paid for:
templates and seeds from files, from the Hub or from memory, and options. Imports the domain,
`files` and `hub`.
"""
