"""Adapters of the model port: Bedrock, OpenAI-compatible servers, the embedded model in llama.cpp.
May import `sdk`, `logs`, `domain` and `contract`; never `engine` or `export`, its neighbours.
"""
