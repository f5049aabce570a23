"""What a model's folder becomes: an artifact, an image, a card, a ModelService; no training, no registry."""
