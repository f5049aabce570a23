"""Chat templates: Jinja2 of a model's folder, run in a sandbox that counts; no request brings one."""
