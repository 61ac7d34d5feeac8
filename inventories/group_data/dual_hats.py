"""Raspberry Pi 5 with a two-slot HAT behind a switch."""

metis_release = "1.8.0"
metis_carrier = "rpi5-dual-hat"
metis_self_test = False
