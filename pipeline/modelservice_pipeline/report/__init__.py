"""What the commands tell: progress while they work, a report at their end; no figures are made here."""
