"""Raspberry Pi 5 and CM5 hosts, a group for each carrier; what a carrier's group needs is in group_data/.

Pin the driver once, look, then provision:

    metis-provision pin 1.8.0 --only driver-source --trust
    metis-provision plan inventories/raspberry_pi.py
    metis-provision apply inventories/raspberry_pi.py

The names are examples. Data of one host stand beside its name and win over its group's.
"""

m2_hats = ["pi-kitchen", "pi-garage"]
dual_hats = [("pi-gate", {"metis_cards": 2})]
cruisers = ["cruiser-1", ("cruiser-2", {"metis_service_users": ["frigate"]})]
