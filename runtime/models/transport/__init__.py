"""Model calls on an event loop: signing, connections, and the thread that they live in."""
