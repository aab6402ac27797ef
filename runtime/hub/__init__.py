"""Datasets on the Hugging Face Hub: what of a folder goes there, and the push; prints nothing and
reports to an observer. Imports the domain and `disk` and, only while it pushes, huggingface_hub.
"""
