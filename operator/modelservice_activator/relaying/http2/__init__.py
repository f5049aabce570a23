"""HTTP/2, by h2 on both sides; gRPC rides on it and needs nothing but its own words for a refusal."""
