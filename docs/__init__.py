"""What the pages of this folder say of the code, where it is made from the code: `make docs` writes them."""
