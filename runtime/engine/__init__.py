"""From a template and seeds to prompts, and from replies to records: plan, rendering, outputs.
May import `logs`, `domain` and `contract`; it sees ports, never an adapter.
"""
