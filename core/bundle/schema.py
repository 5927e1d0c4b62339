"""THE description of a bundle. Writing, reading, verifying and docs/bundle.md all follow these tables.

`python -m core.bundle.schema` prints docs/bundle.md; with `--check` it exits with 1 if that file is not current.
"""

from collections.abc import Container, Sequence

from core.bundle.schema_neurons import LISTS, NEURON_ARRAYS, NEURON_AXES
from core.bundle.schema_pairs import PAIR_ARRAYS, PAIR_AXES, PAIR_SCORE_ARRAYS
from core.bundle.schema_sink import SINK_ARRAYS
from core.bundle.schema_types import ArraySpec, Column, FieldSpec, FileSpec, Format, IndexSpec, TableSpec
from core.errors import AddressError
from core.ids import Head, parse

__all__ = [
    "LISTS",
    "NEURON_ARRAYS",
    "PAIR_ARRAYS",
    "PAIR_SCORE_ARRAYS",
    "SINK_ARRAYS",
    "ArraySpec",
    "Column",
    "FieldSpec",
    "FileSpec",
    "Format",
    "IndexSpec",
    "TableSpec",
]

FORMAT_VERSION = 1
MANIFEST = "bundle.json"
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
"""No true bundle.json comes near this; a larger one is refused before it is parsed."""

AXES = {
    "image": "the images of the manifest in its order, quarantined ones included: position = image_id",
    "layer": "the analysed layers, first to last; labels: their numbers in the model, or null for an attention pool",
    "head": "the attention heads of a layer, 0 first",
    "coord": "coordinates in a head's own small space (k of them)",
    "out": "the joint image-text space",
    "text": "the texts of the pool, in the order of text/pool.parquet",
    "pick": "the texts that TextSpan chose for a head, first choice first",
    "end": "the two ends of a direction; labels: '+' (largest scores) then '-' (smallest scores)",
    "rank": "images of one end, the most extreme first",
    "quantile": "quantiles over the ok images; labels: the levels, 0 to 1",
    "part": "the summands of the representation, in the order of parts.parquet",
    "class": "the classes, in the order of classes.parquet",
    **NEURON_AXES,
    **PAIR_AXES,
}


_LH = ("layer", "head")
_LHP = ("layer", "head", "pick")

ARRAYS = (
    ArraySpec("representations", "representations.npy", "float16", ("image", "out"),
              "unit image representations; zeros where quarantined"),
    ArraySpec("representation_norm", "representation_norm.npy", "float32", ("image",),
              "norm ρ of the representation before it was scaled to one; zero where quarantined"),
    ArraySpec("ok", "ok.npy", "bool", ("image",), "true where the image was decoded and measured"),
    ArraySpec("r", "heads/r.npy", "float16", ("layer", "head", "image", "coord"),
              "coordinates r of each head's contribution: c = basis @ r is its summand of the unit representation; "
              "zeros where quarantined"),
    ArraySpec("basis", "heads/basis.npy", "float32", ("layer", "head", "out", "coord"),
              "orthonormal columns Q of each head's subspace; a text direction t enters as Qᵀt"),
    ArraySpec("mean", "heads/mean.npy", "float64", ("layer", "head", "coord"), "mean of r over the ok images"),
    ArraySpec("cov", "heads/cov.npy", "float64", ("layer", "head", "coord", "coord"),
              "covariance of r over the ok images (divided by their number)"),
    ArraySpec("variance", "heads/variance.npy", "float64", _LH, "total variance of the contribution: trace of cov"),
    ArraySpec("share", "heads/share.npy", "float64", _LH,
              "covariance of the contribution with the representation (trace), as a fraction of the representation's "
              "total variance; all parts together give 1, one part may be negative"),
    ArraySpec("norm_quantiles", "heads/norm_quantiles.npy", "float32", ("layer", "head", "quantile"),
              "quantiles of ‖r‖ = ‖c‖ over the ok images"),
    ArraySpec("text_index", "heads/text_index.npy", "int32", _LHP,
              "row in text/pool.parquet of each text TextSpan chose; -1 where it chose fewer"),
    ArraySpec("text_explained", "heads/text_explained.npy", "float64", _LHP,
              "fraction of the head's variance that this pick adds; their running sum is the explained variance"),
    ArraySpec("text_mean", "heads/text_mean.npy", "float64", _LHP,
              "mean over the ok images of the score ⟨c, t⟩, t the text's unit embedding"),
    ArraySpec("text_std", "heads/text_std.npy", "float64", _LHP, "standard deviation of that score"),
    ArraySpec("text_quantiles", "heads/text_quantiles.npy", "float32", (*_LHP, "quantile"), "quantiles of that score"),
    ArraySpec("text_top_ids", "heads/text_top_ids.npy", "int64", (*_LHP, "end", "rank"),
              "image_id of the images at either end of that score, ties by image_id; -1 where there are fewer"),
    ArraySpec("text_top_scores", "heads/text_top_scores.npy", "float32", (*_LHP, "end", "rank"),
              "their scores ⟨c, t⟩; NaN where the id is -1"),
    ArraySpec("parts_mean", "parts_mean.npy", "float64", ("part", "out"), "mean of each part over the ok images"),
    ArraySpec("text_embeddings", "text/embeddings.npy", "float32", ("text", "out"), "unit embeddings of the pool"),
    ArraySpec("class_embeddings", "class_embeddings.npy", "float32", ("class", "out"),
              "unit mean embedding of each class's prompts", optional=True),
    *NEURON_ARRAYS,
    *PAIR_ARRAYS,
    *PAIR_SCORE_ARRAYS,
    *SINK_ARRAYS,
)  # fmt: skip

TABLES = (
    TableSpec("images", "images.parquet", (
        Column("image_id", "int64", "0, 1, 2, …: the row number, in every array too"),
        Column("path", "string", "path below the manifest's source, with forward slashes"),
        Column("class", "string", "class label as in the manifest; null without classes"),
        Column("width", "int32", "pixels, as displayed (EXIF rotation applied); null where unknown"),
        Column("height", "int32", "pixels, likewise"),
        Column("sha256", "string", "digest of the file; null if it could not be read"),
        Column("status", "string", '"ok", or the code of the rejection'),
    ), "every image of the manifest, then the manifest's own columns", axis="image", extra=True),
    TableSpec("quarantine", "quarantine.parquet", (
        Column("image_id", "int64", "the id it keeps"),
        Column("path", "string", "as in images.parquet"),
        Column("code", "string", "short name of the reason"),
        Column("message", "string", "the reason in words"),
    ), "the images that could not be used"),
    TableSpec("parts", "parts.parquet", (
        Column("name", "string", 'such as "embedding", "attention L3" (all heads and b_O), "mlp L3", "offset"'),
        Column("kind", "string", "embedding, attention, mlp or offset"),
        Column("layer", "int32", "layer number; null where the part has none"),
        Column("mean_norm", "float64", "mean norm of the part over the ok images"),
        Column("share", "float64", "covariance share of the representation's variance; the column sums to 1"),
    ), "the summands that close: together they are the unit representation", axis="part"),
    TableSpec("pool", "text/pool.parquet", (
        Column("text", "string", "one text of the pool"),
    ), "the text pool", axis="text", extra=True),
    TableSpec("classes", "classes.parquet", (
        Column("class", "string", "label as in images.parquet"),
        Column("name", "string", "readable name used in the prompts"),
        Column("count", "int64", "ok images of this class"),
        Column("accuracy", "float64", "zero-shot top-1 accuracy on them; null without any"),
    ), "the classes", axis="class", optional=True),
    TableSpec("ablation", "ablation.parquet", (
        Column("kind", "string", '"none", "mlps" (those of all layers), or "attention" (of layers 0 to `layer`)'),
        Column("layer", "int32", "the last layer whose attention is ablated; null otherwise"),
        Column("top1", "float64", "zero-shot top-1 accuracy when these parts are replaced by their means over the ok "
               "images"),
        Column("images", "int64", "images it is over: ok ones with a class, at most 10,000 spread evenly"),
    ), "zero-shot accuracy under mean-ablation; only with classes, and not for an attention pool", optional=True),
    TableSpec("characterisation", "characterisation.parquet", (
        Column("kind", "string", '"none"; "all", "large norm" or "small norm": second-order effects that are replaced '
               'by their means (of all neurons, of those active in the image, of the others); "first component": '
               'replaced by x r and the mean; "texts": with r replaced by its projection on texts, of norm one'),
        Column("layer", "int32", "layer of the neurons; null for all analysed layers together, and for none"),
        Column("texts", "int32", 'texts a neuron; null where kind is not "texts"'),
        Column("pool", "string", "name of the pool they are from; null likewise"),
        Column("top1", "float64", "zero-shot top-1 accuracy then"),
        Column("images", "int64", "images it is over: measured ones with a class"),
    ), "what second-order effects are worth; only with classes and neurons", optional=True),
    TableSpec("sparsity", "sparsity.parquet", (
        Column("kind", "string", '"none"; "all": everything that the neurons write through heads is mean-ablated; '
               '"kept": all but the best `amount` % of `unit`; "components" or "texts": each of `unit` rebuilt from '
               "its mean and `amount` principal components or texts"),
        Column("unit", "string", "pairs, neurons or heads; null for none and all"),
        Column("layer", "int32", "layer of the neurons; null for all analysed layers together, in an attention pool, "
               "and for none"),
        Column("amount", "float64", "see kind; null for none and all"),
        Column("units", "int64", 'how many are kept; null where kind is not "kept"'),
        Column("pool", "string", 'name of the pool that texts are from; null where kind is not "texts"'),
        Column("top1", "float64", "zero-shot top-1 accuracy then"),
        Column("images", "int64", "images it is over: measured ones with a class"),
    ), "how few pairs, neurons or heads a representation needs, and how simple they are; only with classes and pairs",
        optional=True),
)  # fmt: skip

INDEXES = (
    IndexSpec("heads", "index/heads/{head}.faiss", ("ip", "l2"), False, "r",
              "one per head ({head} is its address: L3.H5, or H5 in an attention pool), images by r: "
              "texts find images (ip with Qᵀt), an image finds images alike in this head's sense (l2, or ip)"),
    IndexSpec("images", "index/images.faiss", ("ip", "l2"), True, "representations", "images by representation"),
    IndexSpec("neurons", "index/neurons.faiss", ("ip", "l2"), True, "neuron_direction",
              "neurons by direction, row = layer position × neurons + neuron; zeros for neurons without one",
              optional=True),
    IndexSpec("pairs", "index/pairs/{head}.faiss", ("ip", "l2"), True, "pair_coords",
              "one per later head ({head} is its address), neurons by the direction of their pair with it, in its own "
              "coordinates: query with Qᵀt, row = layer position × neurons + neuron; zeros where it is not later",
              optional=True),
    IndexSpec("text", "index/text.faiss", ("ip", "l2"), True, "text_embeddings", "texts by embedding"),
)  # fmt: skip

FILES = (
    FileSpec("thumbs", "thumbs/thumbs.bin", "thumbnails: JPEG files one after another, by image_id", optional=True),
    FileSpec(
        "thumb_offsets",
        "thumbs/offsets.npy",
        "int64 [images + 1]; thumbnail i is bytes offsets[i] to offsets[i+1] of thumbs.bin, none where quarantined",
        optional=True,
    ),
)

FIELDS = (
    FieldSpec("format_version", "int", f"{FORMAT_VERSION} for what is described here", written=True),
    FieldSpec("id", "str", "hash of what the bundle was made from; also the folder's name"),
    FieldSpec("created", "str", "when it was finished (ISO 8601, UTC)", written=True),
    FieldSpec("command", "str", "the command that made it"),
    FieldSpec("model.name", "str", "open_clip model name"),
    FieldSpec("model.pretrained", "str?", "pretrained tag or file name; null for random weights"),
    FieldSpec("model.weights_digest", "str", "sha256 over the weights"),
    FieldSpec("model.random_weights", "bool", "true if the weights were never trained: nothing here means anything"),
    FieldSpec("model.activation", "str", "activation of the MLPs, gelu or quick_gelu"),
    FieldSpec("model.tower", "str", "kind of image encoder"),
    FieldSpec("model.preprocessing", "object", "resize, crop, interpolation, mean and std of the model's input"),
    FieldSpec("model.layers", "int", "layers of the image encoder, analysed or not"),
    FieldSpec("model.heads", "int", "attention heads of a layer"),
    FieldSpec("model.head_width", "int", "numbers that a head puts out"),
    FieldSpec("model.width", "int", "width of the residual stream"),
    FieldSpec("model.out", "int", "width of the joint space"),
    FieldSpec("model.precision", "str", "precision of the forward pass; parts are always computed in fp32"),
    FieldSpec("model.details", "object", "further facts about the encoder", optional=True),
    FieldSpec("decode", "object", "policy of the image decoder; it changes features"),
    FieldSpec("layernorm", "str", 'LayerNorm convention, "own" or "equal"'),
    FieldSpec("manifest.source", "str", "name of the image folder or manifest file"),
    FieldSpec("manifest.digest", "str", "sha256 over the list of images"),
    FieldSpec("manifest.images", "int", "images, quarantined ones included"),
    FieldSpec("manifest.ok", "int", "images measured"),
    FieldSpec("manifest.quarantined", "int", "images that could not be used"),
    FieldSpec("pool.name", "str", "name of the text pool"),
    FieldSpec("pool.digest", "str", "sha256 over its texts"),
    FieldSpec("pool.texts", "int", "texts in it"),
    FieldSpec("settings", "object", "the run's settings"),
    FieldSpec("neurons", "object", "how neurons were measured: images, largest_norms (images a direction is from), "
              "active_quantile (of a neuron's own norms), atoms (scaling of the texts)", optional=True),
    FieldSpec("pairs", "object", "how neuron-head pairs were measured: largest (images a score is over), "
              "inertia_images, described (pairs with texts), atoms (scaling of the texts)", optional=True),
    FieldSpec("sink", "object", "the attention sink of a ResNet's pool: images it is from, token (its position)",
              optional=True),
    FieldSpec("zero_shot", "object", "zero-shot accuracy over the ok images", optional=True),
    FieldSpec("worst_residual", "float", "largest |sum of parts - unit representation| over all images and outputs"),
    FieldSpec("residual_tolerance", "float", "the largest residual that counts as closed, in this precision"),
    FieldSpec("versions", "object", "versions of Python and the libraries"),
    FieldSpec("axes", "object", "axis name: {size, labels (list or null)}", written=True),
    FieldSpec("arrays", "object", "array name: {path, dtype, shape, axes}", written=True),
    FieldSpec("tables", "object", "table name: {path, rows}", written=True),
    FieldSpec("indexes", "object", "index key: {path, kind, metric, normalised, source, n, d, recall_at_10}; the "
              "recall is null where the search is exact", written=True),
    FieldSpec("files", "object", "relative path: {bytes, sha256}, all files but bundle.json itself", written=True),
)  # fmt: skip

BUNDLE = Format(
    kind="bundle",
    kinds="bundles",
    manifest=MANIFEST,
    version=FORMAT_VERSION,
    make="python -m precompute run --model MODEL --images FOLDER --out OUT",
    axes=AXES,
    arrays=ARRAYS,
    tables=TABLES,
    files=FILES,
    fields=FIELDS,
    indexes=INDEXES,
)

ARRAY, TABLE = BUNDLE.array, BUNDLE.table


def head_key(layer: int | None, head: int) -> str:
    """Key of a head's index, such as "heads/L3.H5"; `layer` is its number in the model, None for an attention pool."""
    return f"heads/{Head(layer, head)}"


def pair_key(head: Head) -> str:
    """Key of the index of a later head's pairs, such as "pairs/L11.H3"."""
    return f"pairs/{head}"


def index_spec(key: str) -> tuple[IndexSpec, Head | None]:
    """The family of an index key, and which head "heads/L3.H5" means. Raises KeyError for any other key."""
    by_name = {spec.name: spec for spec in INDEXES}
    family, slash, address = key.partition("/")
    if slash and family in _OF_HEADS:
        try:
            unit = parse(address)
        except AddressError as error:
            raise KeyError(str(error)) from None
        if isinstance(unit, Head) and key == f"{family}/{unit}":
            return by_name[family], unit
    if key in _OF_HEADS or key not in by_name:
        raise KeyError(
            f"no index is called {key!r}; there are images, text, neurons, heads/L<layer>.H<head> and pairs/…"
        )
    return by_name[key], None


_OF_HEADS = ("heads", "pairs")


def index_keys(
    layers: Sequence[int | None], heads: int, arrays: Container[str], later: Sequence[str] = ()
) -> list[str]:
    """Keys of the indexes that a bundle has: every head's, images, text, neurons where they were analysed, and with
    pairs one for each of the `later` heads."""
    keys = [head_key(layer, head) for layer in layers for head in range(heads)]
    neurons = ["neurons"] if "neuron_direction" in arrays else []
    pairs = [f"pairs/{head}" for head in later] if "pair_coords" in arrays else []
    return [*keys, "images", "text", *neurons, *pairs]


def index_path(key: str) -> str:
    """Relative path of an index's file. Raises KeyError."""
    index_spec(key)
    return f"index/{key}.faiss"


if __name__ == "__main__":
    import sys

    from core.bundle.schema_docs import main

    sys.exit(main(sys.argv[1:]))
