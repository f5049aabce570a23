"""What is written: `/scale`, and the decision in the status. Nothing is decided here."""
