"""What answers are worth: metrics, their uncertainty, calibration; reads no files of rows."""
