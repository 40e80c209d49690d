"""The X-ray sets of the paper, from published tables and images of the user."""
