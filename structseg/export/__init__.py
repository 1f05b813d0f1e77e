"""Trained models in the forms in which they leave: weights alone, small and with their terms.

Level 3: knows levels 0 to 2.
"""
