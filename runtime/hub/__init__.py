"""Datasets on the Hugging Face Hub: what of a folder goes there and the push, and seeds that come
from there; prints nothing and reports to an observer. Imports the domain and `disk` and, only while
it talks to the Hub, huggingface_hub.
"""
