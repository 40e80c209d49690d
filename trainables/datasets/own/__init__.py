"""A user's own images as a dataset: what `folder:PATH`, `manifest:FILE.csv` and the X-ray sets share.

places.py        where images, masks and tables are
files.py         bytes from disk or S3, fetched and hashed once
table.py         the CSV with one row per image; problems, several in one message
image_file.py    decoding PNG, JPEG, TIFF, DICOM and npy
prepare.py       range, channels and size of images; masks from files, boxes and ellipses
decoded.py       the digest of a dataset's content; its decoded images, cached on disk and mapped into memory
sampling.py      classes and groups, pools without common subjects, severity by resampling
images.py        the dataset and its options
summary.py       what `python -m trainables.datasets` says of the files
"""
