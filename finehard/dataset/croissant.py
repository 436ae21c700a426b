"""Croissant metadata of a dataset: croissant.json, version 1.0 of MLCommons' format.

It lists all shards with their SHA-256 and has one record set that `mlcroissant` can read, "index":
the rows of index.parquet. A dataset whose tables have parts has file sets instead of lists: the
manifest lists its shards.
"""

from __future__ import annotations

from typing import Any

from finehard.dataset.layout import INDEX
from finehard.dataset.tables import INDEX_SCHEMA

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "equivalentProperty": "cr:equivalentProperty",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The JSON-LD context prescribed by the format."""


_INDEX_FILES = "index-files"
_ROWS = "a row per sample: where it lies, sizes, counts"


def croissant(manifest: dict[str, Any], index_sha256: str | None) -> dict[str, Any]:
    """Returns the metadata as JSON-LD, from the manifest and the SHA-256 of index.parquet; None if
    the index has parts."""
    files = _file_sets() if index_sha256 is None else _files(manifest, index_sha256)
    counts = manifest["counts"]
    about = manifest.get("published")
    license = "each image's own: image.license in the samples, where the source gave one"
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": about["name"] if about else "finehard-dataset",
        "description": (
            "Images with short and long captions, boxes with region captions, and hard negatives "
            f"that differ from the truth in one attribute. {counts['written']} samples, "
            f"{counts['regions']} regions, {counts['hard_negatives']} hard negatives, made by "
            f"finehard {manifest['finehard']}. The texts are written by models."
        ),
        "license": f"annotations: {about['license']}; images: {license}" if about else license,
        "keywords": ["image-text", "region-captions", "hard-negatives", "webdataset"],
        "distribution": files,
        "recordSet": [_index("fileObject" if index_sha256 else "fileSet")],
    }


def _files(manifest: dict[str, Any], index_sha256: str) -> list[dict[str, Any]]:
    shards = [
        {
            "@type": "cr:FileObject",
            "@id": shard["name"],
            "name": shard["name"],
            "contentUrl": f"shards/{shard['name']}",
            "contentSize": f"{shard['bytes']} B",
            "encodingFormat": "application/x-tar",
            "sha256": shard["sha256"],
        }
        for shard in manifest["shards"]
    ]
    index = {
        "@type": "cr:FileObject",
        "@id": INDEX,
        "name": INDEX,
        "description": _ROWS,
        "contentUrl": INDEX,
        "encodingFormat": "application/x-parquet",
        "sha256": index_sha256,
    }
    return [index, *shards]


def _file_sets() -> list[dict[str, Any]]:
    sets = ((_INDEX_FILES, "index/*.parquet", "application/x-parquet", _ROWS),
            ("shards", "shards/*.tar", "application/x-tar", "the samples"))  # fmt: skip
    return [
        {"@type": "cr:FileSet", "@id": name, "name": name, "description": what, "includes": files,
         "encodingFormat": kind}
        for name, files, kind, what in sets
    ]  # fmt: skip


def _index(kind: str) -> dict[str, Any]:
    """Returns the record set; `kind` says what the index is, "fileObject" or "fileSet"."""
    return {
        "@type": "cr:RecordSet",
        "@id": "index",
        "name": "index",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"index/{column.name}",
                "name": column.name,
                "dataType": "sc:Text" if str(column.type) == "string" else "sc:Integer",
                "source": {
                    kind: {"@id": INDEX if kind == "fileObject" else _INDEX_FILES},
                    "extract": {"column": column.name},
                },
            }
            for column in INDEX_SCHEMA
        ],
    }
