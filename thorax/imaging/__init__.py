"""Reading image files safely."""
