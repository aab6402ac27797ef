"""A worker's life: claim, generate, save, export, end; leases, budget, checkpoints.
May import `bootstrap` and what is below, but no adapter; never `lambdas`, its neighbour.
"""
