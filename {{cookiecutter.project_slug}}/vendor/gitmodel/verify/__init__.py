"""Are the committed results true and whole?"""
