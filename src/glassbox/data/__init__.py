"""Text on its way to a model: sources, corpora, splits, shards of token ids, batches.

documents.py     what a document is
sources/         where documents come from: the Python installation, local files, the web; what kind of file one is
inspection.py    what is in a file that somebody brings: can it be read, how much is it, what does it look like
fetching.py      the one way to a file on the web, safe against addresses that mean harm (public_addresses.py)
corpus.py        documents on disk (Parquet), written and read as a stream
duplicates.py    which documents are the same, or nearly
split.py         train, validation and test without leakage between near-duplicates
shards.py        token ids on disk, memory-mapped
shard_writer.py  writes them so that a killed run can go on
batches.py       the batch of step t as a pure function of (seed, t)
"""
