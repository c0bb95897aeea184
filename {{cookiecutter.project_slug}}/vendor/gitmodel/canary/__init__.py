"""A new model that answers a share of the requests: does it go on, stop, or wait?"""
