"""What lies where in a folder of images: its tables, each row's image, and masks that go by their image's name."""

from collections.abc import Iterator

from trainables.datasets.own.files import Files, join, parent
from trainables.datasets.own.table import POOLS
from trainables.errors import ConfigurationError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".npy")
POOL_TABLES = ("{}.csv", "{}_labels.csv", "{}/labels.csv")


def find_tables(files: Files, folder: str) -> dict[str, str | None]:
    """The tables in `folder`, each with the split its name stands for: one CSV for all, or one a split.

    Those of a split are called train.csv, train_labels.csv or train/labels.csv, and so for valid (or val) and test.

    Raises:
        ConfigurationError: there is no table, or it is not clear which one counts.
    """
    names = {name for name in files.names(folder) if name.lower().endswith(".csv")}
    pools: dict[str, str] = {}
    for pool in POOLS:
        words = (pool, "val") if pool == "valid" else (pool,)
        candidates = [join(folder, pattern.format(word)) for word in words for pattern in POOL_TABLES]
        found = [location for location in candidates if files.exists(location)]
        if len(found) > 1:
            raise ConfigurationError(f"{found[0]} and {found[1]} both list the {pool} images; keep one of them")
        if found:
            pools[found[0]] = pool
    others = sorted(names - {location.rsplit("/", 1)[-1] for location in pools})
    if len(pools) == len(POOLS):
        return dict(pools)
    if pools:
        missing = ", ".join(pool for pool in POOLS if pool not in pools.values())
        raise ConfigurationError(
            f"{folder} has {', '.join(sorted(pools))} but no table for {missing}; add it, or give one CSV with a "
            "column 'split'"
        )
    if not files.names(folder):
        raise ConfigurationError(f"there is no folder {folder}, or no file in it; correct its name")
    if len(others) != 1:
        has = f"it has {', '.join(others)}" if others else "it has none"
        raise ConfigurationError(
            f"{folder} needs one CSV, or train.csv, valid.csv and test.csv; {has}. Name the one to use with "
            "manifest:FILE.csv"
        )
    return {join(folder, others[0]): None}


def find_image(files: Files, folder: str, table: str, name: str, pool: str | None) -> str | None:
    """The location of the image that a table calls `name`, or None.

    Looked for beside the table, then in images/, in a folder of the split's name and in images/ there.
    """
    places = [parent(table), join(folder, "images")]
    if pool:
        places += [join(folder, pool), join(folder, f"{pool}/images"), join(folder, f"images/{pool}")]
    return next((join(p, name) for p in places if files.exists(join(p, name))), None)


def find_mask(files: Files, image: str) -> str | None:
    """The mask that goes by its image's name, or None.

    For images/x.png: masks/x.* beside images/. For x.png: masks/x.*, x_mask.* or x_seg.*. Where the name has "img"
    in it, the same name with "seg". The mask may be of another format than the image.
    """
    return next((location for location in _mask_candidates(files, image) if location != image), None)


def _mask_candidates(files: Files, image: str) -> Iterator[str]:
    folder, name = parent(image), image.rsplit("/", 1)[-1]
    stem = name.rsplit(".", 1)[0]
    if "img" in stem:
        yield from _with_suffix(files, folder, stem.replace("img", "seg"))
    parts = folder.rsplit("/images", 1)
    if len(parts) == 2 and parts[1][:1] in ("", "/"):
        yield from _with_suffix(files, "/masks".join(parts), stem)
    yield from _with_suffix(files, join(folder, "masks"), stem)
    yield from _with_suffix(files, folder, f"{stem}_mask")
    yield from _with_suffix(files, folder, f"{stem}_seg")


def _with_suffix(files: Files, folder: str, stem: str) -> Iterator[str]:
    names = files.names(folder)
    yield from (join(folder, stem + suffix) for suffix in SUFFIXES if stem + suffix in names)
