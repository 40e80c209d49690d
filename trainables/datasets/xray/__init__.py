"""The X-ray sets of the paper, from published tables and the user's images.

xray.py          the base: the images of a folder that the tables list; the paper's image-level split
metadata.py      the published tables, as torchxrayvision ships them
xray_site.py     NIH and PadChest, confounded by the hospital
rsna_view.py     RSNA, confounded by the view
"""
