"""One's own images as a dataset: what `folder:PATH`, `manifest:FILE.csv` and the X-ray sets have in common.

table.py read.py layout.py     the CSV with one row an image, and what lies where
files.py cache.py              bytes from disk or S3, hashed and fetched once
image_file.py mask_file.py     PNG, JPEG, TIFF, DICOM, npy; masks, boxes, ellipses
prepare.py                     range, channels, size
content.py decoded.py          the digest of all that, and the decoded images, kept by it
meaning.py deal.py resample.py labels and groups, splits without common subjects, severity
images.py options.py           the dataset and its settings
xray.py metadata.py published.py    public X-ray sets: rows from published tables, the paper's split
problems.py                    what is wrong, several at a time
"""
