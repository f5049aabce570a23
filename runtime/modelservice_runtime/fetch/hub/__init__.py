"""The Hugging Face Hub, and what answers as it does: repositories of models, by its documented API.

How bytes travel lives in `http`, what is done with them in `files`.
"""
