"""From a trained model to class maps, masks on disk and scores.

Level 2: knows the nouns, data, models and metrics; never losses, training or the command line.
"""
