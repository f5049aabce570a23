"""Names the clothing on a picture: data, network, export; an example, not part of the project."""
