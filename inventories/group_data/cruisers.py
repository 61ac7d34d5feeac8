"""CM5 on the Exaviz Cruiser."""

metis_release = "1.8.0"
metis_carrier = "exaviz-cruiser"
metis_self_test = False
