"""The cohort's database: tables, migrations, and the ledger that the desk and the herald work with."""
