"""OpenAI's API over the models that generate text, and over those whose tensors answer for it.

What a client says, what it is told and in which frames; how texts come about is `generation`'s.
"""
