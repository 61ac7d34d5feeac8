"""Raspberry Pi 5 with the M.2 HAT+: 3 A at 3.3 V, so the card's clock is held below what the supply cannot give."""

metis_release = "1.8.0"
metis_carrier = "rpi5-m2-hat-plus"
metis_clock_mhz = 400
metis_self_test = False
