"""What a measurement shows: tables, a page, charts."""
