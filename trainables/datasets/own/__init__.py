"""Images of one's own as a dataset: what `folder:PATH`, `manifest:FILE.csv` and the X-ray sets share.

places.py        where images, masks and tables are
table.py         the CSV with one row per image; problems, reported several at a time
files.py         bytes from disk or S3, fetched and hashed once; the digest of a dataset's content
image_file.py    decoding PNG, JPEG, TIFF, DICOM and npy
prepare.py       range, channels and size of images; masks from files, boxes and ellipses
decoded.py       the decoded images, cached on disk and mapped into memory
sampling.py      classes and groups, pools without common subjects, severity by resampling
images.py        the dataset and its options
"""
