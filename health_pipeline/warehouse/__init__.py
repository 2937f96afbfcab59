"""The warehouse: its connection, migrations and views, the writer, and the records of what runs met."""
