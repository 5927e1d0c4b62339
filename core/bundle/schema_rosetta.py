"""THE description of a dictionary of Rosetta concepts (paper R): what `python -m precompute rosetta` writes.

As `core.bundle.schema` for bundles, by the same code and with the same rules. A dictionary is of several models
(members) and one set of images; a *unit* is one channel of one compared layer of a member, its *map* its activations
over positions in an image. A unit's *row* counts all units of all members, members and their layers in order.
"""

from core.bundle.schema_types import ArraySpec, Column, FieldSpec, FileSpec, Format, TableSpec

ROSETTA_VERSION = 2
DICTIONARY_PREFIX = "rosetta-"
"""Names of dictionaries' folders begin with it, so that one that is not finished is told from a bundle."""

ROSETTA_AXES = {
    "unit": "all units of all members, members in order, their layers in order; position = row of the unit",
    "member": "the models compared, in the order of `members` in rosetta.json; labels: their names",
    "neighbour": "a unit's nearest units in one member, best first: K of them",
    "layer": "the compared layers of all members, in the order of their units",
    "image": "the images used, in the order of use (by sha256 of the seed and the path)",
    "described": "units in any concept, by row",
    "concept": "the concepts of all hubs, hub by hub, strongest first",
    "concept_member": "the units of all concepts, concept by concept: the hub's own units first",
    "concept_rank": "the images that a concept is shown by, strongest first",
    "map_value": "all maps one after another: those of one concept_member are (concept_rank, height, width)",
    "corr_value": "all correlation matrices one after another, row by row",
    "unit_text": "rows of unit_texts.parquet",
    "text": "the texts of the pool, rows of texts.parquet; none where no CLIP member has a unit in a concept",
}

_UMK = ("unit", "member", "neighbour")

ROSETTA_ARRAYS = (
    ArraySpec("unit_mean", "unit_mean.npy", "float32", ("unit",), "mean of a unit's map over images and positions"),
    ArraySpec("unit_std", "unit_std.npy", "float32", ("unit",), "its standard deviation; 0: a dead or constant unit"),
    ArraySpec("neighbours", "neighbours.npy", "int32", _UMK,
              "rows of the units of a member whose maps correlate most with the unit's, over all its layers; ties by "
              "row; -1 where there are fewer. In the unit's own member it is itself left out"),
    ArraySpec("neighbour_r", "neighbour_r.npy", "float32", _UMK,
              "that Pearson correlation over images and positions, the smaller map resized to the larger; NaN at -1"),
    ArraySpec("neighbour_shuffled", "neighbour_shuffled.npy", "float32", _UMK,
              "r of the same pair when the one's images are shuffled against the other's; NaN at -1 and in the unit's "
              "own member"),
    ArraySpec("null_best", "null_best.npy", "float32", ("unit", "member"),
              "the best r with any unit of a member when images are shuffled; NaN in its own member"),
    ArraySpec("levels", "levels.npy", "float32", ("member", "member"),
              "the null level of two members: the larger of the two sides' quantile (null.quantile in rosetta.json) of "
              "null_best over units that are alive; NaN on the diagonal, or where none is"),
    ArraySpec("described", "described/rows.npy", "int32", ("described",), "their rows, ascending"),
    ArraySpec("peak", "described/peak.npy", "float16", ("described", "image"), "largest value of the unit's map"),
    ArraySpec("peak_mean", "described/peak_mean.npy", "float32", ("described",), "mean of the peak over images"),
    ArraySpec("peak_std", "described/peak_std.npy", "float32", ("described",), "its standard deviation"),
    ArraySpec("text_cosine", "texts/cosine.npy", "float16", ("text", "image"),
              "how much an image is like a text: the cosine of their embeddings less its mean over images, over its "
              "deviation; mean over the CLIP members with a unit in a concept"),
    ArraySpec("concept_images", "concepts/images.npy", "int32", ("concept", "concept_rank"),
              "images of largest activation: the mean over members, of each the unit farthest above the null and of "
              "the hub the anchor, of the peak less its mean over its deviation; -1 where there are fewer"),
    ArraySpec("maps", "concepts/maps.npy", "float16", ("map_value",),
              "the maps of every unit of a concept in the concept's images, averaged over areas where one has more "
              "than 28 positions a side; zeros where there is no image"),
    ArraySpec("concept_corr", "concepts/corr.npy", "float32", ("corr_value",),
              "Pearson correlations between the units of a concept, over all images and positions; NaN of dead units"),
)  # fmt: skip

ROSETTA_TABLES = (
    TableSpec("layers", "layers.parquet", (
        Column("member", "int32", "position of the model among the members"),
        Column("layer", "string", "its name, such as L3 or layer2"),
        Column("first", "int64", "row of its first unit"),
        Column("units", "int32", "its units"),
        Column("height", "int32", "rows of its maps"),
        Column("width", "int32", "columns of its maps"),
        Column("depth", "float64", "how deep it lies, above 0 to 1 (the last block)"),
    ), "the compared layers", axis="layer"),
    TableSpec("images", "images.parquet", (
        Column("image", "int32", "0, 1, 2, …: position on the axis image"),
        Column("path", "string", "path below the manifest's source, with forward slashes"),
        Column("class", "string", "class label as in the manifest; null without classes"),
        Column("sha256", "string", "digest of the file"),
        Column("width", "int32", "pixels, as displayed"),
        Column("height", "int32", "pixels, likewise"),
    ), "the images used, then the manifest's own columns", axis="image", extra=True),
    TableSpec("concepts", "concepts.parquet", (
        Column("hub", "int32", "position of the member whose units it starts from"),
        Column("anchor", "int32", "row of its strongest hub unit, which names it"),
        Column("strength", "float64", "mean over the other members of the best r less its null; 0 where it has no "
               "partner"),
        Column("models", "int32", "members with a unit in it, the hub included"),
        Column("first", "int64", "row of its first unit in concept_members.parquet"),
        Column("members", "int32", "its units there"),
        Column("corr", "int64", "where its matrix (members × members) begins in concepts/corr.npy"),
        Column("label", "int32", "row of the text whose text_cosine the concept's activation follows most closely, by "
               "Pearson over the images 0, 2, 4, … (activation: see concepts/images.npy); -1 where it follows none"),
        Column("label_r", "float64", "that correlation over the other images 1, 3, 5, …, which the label was not "
               "chosen by; NaN without label"),
    ), "the concepts of all hubs", axis="concept"),
    TableSpec("concept_members", "concept_members.parquet", (
        Column("concept", "int32", "position of the concept"),
        Column("unit", "int32", "row of the unit"),
        Column("partner", "int32", "row of the hub unit it is matched with; -1 for the hub's own units"),
        Column("r", "float64", "their correlation; for a hub unit the largest with its partners"),
        Column("null", "float64", "the larger of their members' level and this pair's r under the shuffle; NaN for the "
               "hub's own units"),
        Column("maps", "int64", "where its maps begin in concepts/maps.npy"),
        Column("height", "int32", "rows of its maps there"),
        Column("width", "int32", "columns of its maps there"),
    ), "the units of every concept", axis="concept_member"),
    TableSpec("unit_texts", "unit_texts.parquet", (
        Column("unit", "int32", "row of the unit"),
        Column("how", "string", 'where its texts are from: "second-order direction" or "pool direction" of the unit, '
               'or "map": the texts whose heatmaps its map follows best'),
        Column("rank", "int32", "0 for the best text"),
        Column("text", "string", "the text"),
        Column("value", "float64", "cosine of the direction with the text, or r of the maps"),
    ), "the best texts of every described unit of a CLIP member", axis="unit_text"),
    TableSpec("texts", "texts.parquet", (
        Column("text", "string", "the text"),
    ), "the texts that concepts are labelled with", axis="text"),
)  # fmt: skip

ROSETTA_FILES = (
    FileSpec("thumbs", "thumbs/thumbs.bin", "thumbnails: JPEG files one after another, in the order of axis image"),
    FileSpec("thumb_offsets", "thumbs/offsets.npy", "int64 [images + 1]: where each begins in thumbs.bin, as in a "
             "bundle"),
)  # fmt: skip

ROSETTA_FIELDS = (
    FieldSpec("format_version", "int", f"{ROSETTA_VERSION} for what is described here", written=True),
    FieldSpec("id", "str", "hash of what the dictionary was made from; also the folder's name"),
    FieldSpec("created", "str", "when it was finished (ISO 8601, UTC)", written=True),
    FieldSpec("command", "str", "the command that made it"),
    FieldSpec("members", "list", "of each model: name, source, family, training, weights_digest, random_weights, "
              "preprocessing, layers, clip, licence"),
    FieldSpec("images.source", "str", "name of the image folder or manifest file"),
    FieldSpec("images.digest", "str", "sha256 over paths and contents of the images used"),
    FieldSpec("images.images", "int", "images used"),
    FieldSpec("images.unusable", "int", "images that would have been used and could not be decoded"),
    FieldSpec("images.seed", "int", "what their order was drawn with"),
    FieldSpec("k", "int", "neighbours kept of each unit and member"),
    FieldSpec("null.block", "int", "images within which the shuffle of the null moves each one on"),
    FieldSpec("null.quantile", "float", "quantile of the best shuffled correlations that is the level"),
    FieldSpec("self_r", "float", "least correlation of two hub units that makes them one concept"),
    FieldSpec("pool.name", "str", "name of the text pool"),
    FieldSpec("pool.digest", "str", "sha256 over its texts"),
    FieldSpec("pool.texts", "int", "texts in it"),
    FieldSpec("settings", "object", "the run's settings"),
    FieldSpec("versions", "object", "versions of Python and the libraries"),
    FieldSpec("axes", "object", "axis name: {size, labels (list or null)}", written=True),
    FieldSpec("arrays", "object", "array name: {path, dtype, shape, axes}", written=True),
    FieldSpec("tables", "object", "table name: {path, rows}", written=True),
    FieldSpec("files", "object", "relative path: {bytes, sha256}, all files but rosetta.json itself", written=True),
)  # fmt: skip

DICTIONARY = Format(
    kind="dictionary",
    kinds="dictionaries",
    manifest="rosetta.json",
    version=ROSETTA_VERSION,
    make="python -m precompute rosetta --models MODEL MODEL --images FOLDER --out OUT",
    axes=ROSETTA_AXES,
    arrays=ROSETTA_ARRAYS,
    tables=ROSETTA_TABLES,
    files=ROSETTA_FILES,
    fields=ROSETTA_FIELDS,
)
