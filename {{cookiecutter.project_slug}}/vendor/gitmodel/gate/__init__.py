"""Is a change worse than what it started from?"""
