"""Operations of the API on seed files: where to upload, what there is, what is wrong with one.
May import what `lambdas` may.
"""
