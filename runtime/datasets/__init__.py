"""Datasets on a laptop: their inputs, their folders, the parts of an engine. It prints nothing.
May import `lambdas` and `worker` and what is below; never `client`, its neighbour.
"""
