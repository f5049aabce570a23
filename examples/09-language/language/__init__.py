"""Names the language of a sentence: data, features, training, export; an example, not part of the project."""
