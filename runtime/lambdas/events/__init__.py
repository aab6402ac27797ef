"""What no request starts: a task has stopped, a minute has passed.
May import what `lambdas` may.
"""
