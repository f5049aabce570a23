"""The documentation site: what mkdocs is told beside `mkdocs.yml`. No text of the pages lives here."""
