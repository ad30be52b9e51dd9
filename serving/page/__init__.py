"""The page for people: a radiograph in, what the model believes, how sure it may be, and where it looked."""
