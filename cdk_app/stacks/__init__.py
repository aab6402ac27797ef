"""The stacks: they compose constructs, and what keeps state is apart from what does not.
May import `cdk_app` and `runtime.contract`.
"""
