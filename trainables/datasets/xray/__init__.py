"""The X-ray sets of the paper, from published tables and the user's images."""
