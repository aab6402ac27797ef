"""Operations of the API on jobs, and what a job looks like there.
May import what `lambdas` may.
"""
