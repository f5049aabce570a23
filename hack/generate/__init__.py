"""Generated files: CRDs and reference pages, made from the API's pydantic models."""
