"""What a row of a dataset is: its shape, the values in it, the types of its columns.
May import `domain.errors`, `domain.fields`, `domain.hints`; knows no step and no template.
"""
