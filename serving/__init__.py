"""The prediction service: a BentoML service, its page, and what starts and follows them."""
