/* SPDX-License-Identifier: GPL-2.0-only */
/* What the stand-ins of the tools share: finding cards, opening them, asking them. */
#ifndef STANDIN_H
#define STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metis_ioctl.h"
#include "metis_regs.h"

#ifndef STANDIN_VERSION
#error "STANDIN_VERSION must be given on the command line of the compiler"
#endif

#define MAX_DEVICES 32
#define NAME_SIZE 256

enum exit_code { EXIT_FINE = 0, EXIT_FAULT = 1, EXIT_USAGE = 2 };

/* A card's node: kernel name (metis-0-1-0) and the older form with colons that the runtime prints. */
struct device {
	char node[NAME_SIZE];
	char label[NAME_SIZE];
};

/*
 * The two looks the real runtime takes before anything else: lsmod must show the driver, lspci a card.
 * Prints what is missing and returns false.
 */
bool host_is_ready(void);

/* Fill devices in the order of their names and return how many there are, or -1 with a line printed. */
int find_devices(struct device devices[MAX_DEVICES]);

/* Open a card for this process alone; prints why it cannot and returns -1. */
int open_device(int index, const struct device *device);

/* Run one job. Prints what went wrong and returns false. */
bool run_job(int index, int fd, struct metis_request *request);

/* Parse a whole decimal number from low to high; false for anything else. */
bool parse_number(const char *text, long low, long high, long *value);

#endif
