"""A TOML file that structs describe: its keys, sources, schema and versions. Knows no key of signerd's."""
