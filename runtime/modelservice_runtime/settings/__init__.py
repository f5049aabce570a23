"""What the command line says, read and checked: frozen values that every room may use, acted on elsewhere."""
