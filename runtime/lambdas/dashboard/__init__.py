"""Operations of the API that add up: one job, or all of a user's.
May import what `lambdas` may.
"""
