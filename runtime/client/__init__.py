"""A client of the API: requests, transfers, profiles, signing in. It prints nothing.
May import `lambdas` and `worker` and what is below; never `datasets`, its neighbour.
"""
