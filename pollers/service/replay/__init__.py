"""`pollers replay`: failure documents back to their records, and the records to the mapping's function once more.

`documents` says what a document names, `origins` where documents lie (`file_origin`, `queue_origin`, `bucket_origin`),
`rereading` brings a range of records from its stream, `rebuilding` makes the event of it, `run` does it all in order.
"""
