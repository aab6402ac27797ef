"""What an operator does with a deployment by hand, with their own rights: restoring.
Nothing imports it. May import what `lambdas` may, and the SDK.
"""
