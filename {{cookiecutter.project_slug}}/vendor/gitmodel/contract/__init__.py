"""The contract of the table: schema, reading, identity and encoding of rows."""
