"""Constructs, one for each capability; a stack only puts them together.
May import other modules of `cdk_app`, but no stack, and `runtime.contract`.
"""
