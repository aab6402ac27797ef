"""Adapters of the model port: Bedrock, and the embedded model in llama.cpp.
May import `sdk`, `logs`, `domain` and `contract`; never `engine` or `export`, its neighbours.
"""
