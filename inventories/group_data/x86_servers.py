"""Servers with one card each in a slot of four lanes, drained by a hook before a reboot."""

metis_release = "1.8.0"
metis_carrier = "x86-slot"
metis_reload = "if-free"
metis_reboot = "if-needed"
metis_reboot_before = 'logger "draining $METIS_HOST"'
metis_reboot_after = 'logger "$METIS_HOST is back"'
metis_self_test = False
