"""One module an experiment; functions take a subject and return tables, arrays or dataclasses."""
