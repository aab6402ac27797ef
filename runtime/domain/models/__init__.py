"""Models as the engine sees them: a call, its price, what to do when it fails, how many at a time.
May import `domain.templates`, `domain.options`, `domain.errors` and `contract`.
"""
