"""Operations of the API on templates and their versions, and what a template looks like there.
May import what `lambdas` may.
"""
