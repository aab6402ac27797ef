"""What the runtime and the infrastructure agree on, as data: names, keys, tables, routes.
May import nothing of ours: `cdk_app` reads it without the rest.
"""
