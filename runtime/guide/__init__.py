"""What people and coding agents read to write a template: the documentation and the examples that
the package brings, put together by topic. Imports the domain only, and holds no text of its own
that a page of the documentation has.
"""
