"""The protocol over HTTP: its front end, and how infer requests are read and answered."""
