"""A fleet of x86 servers, rebooted one at a time when the driver needs it; what the group needs is in group_data/.

metis-provision pin 1.8.0 --only driver-source --trust
metis-provision plan inventories/x86_fleet.py --parallel 20
metis-provision apply inventories/x86_fleet.py --parallel 20
metis-provision verify inventories/x86_fleet.py --html fleet.html --prometheus metis.prom
"""

x86_servers = [f"inference-{number:02}" for number in range(1, 21)]
