"""Model calls on an event loop: signing, connections, and the thread that they live in.
May import `sdk`, `logs`, `domain` and `contract`, as its room does; it knows no provider.
"""
