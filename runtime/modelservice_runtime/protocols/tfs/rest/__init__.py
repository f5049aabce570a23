"""The protocol over HTTP: its front end, and how requests of each verb are read and answered."""
