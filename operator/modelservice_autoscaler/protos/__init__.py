"""Messages of KEDA's external scalers: a `.proto` file, and what `make generate` makes of it."""
