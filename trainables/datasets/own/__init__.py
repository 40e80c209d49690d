"""A user's own images as a dataset: what `folder:PATH`, `manifest:FILE.csv` and the X-ray sets share."""
