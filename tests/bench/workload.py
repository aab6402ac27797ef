"""What every client of the benchmarks is asked to call for."""

from typing import Final

MODEL: Final = "us.amazon.nova-micro-v1:0"
MAX_TOKENS: Final = 256
PROMPT: Final = (
    "Write a short, friendly product review of about sixty words for item number {index} of our "
    "catalogue. The reviewer has used it for two weeks, at home and on the road, likes the build "
    "quality and the battery, and is less happy with the weight, the price of spare parts and the "
    "manual, which is hard to follow. Mention one thing that surprised them, name one person to "
    "whom they would recommend it, and close with a rating from one to five stars. Do not use "
    "exclamation marks, lists or headings, and do not repeat the item number in the text."
)
"""About 120 tokens."""
