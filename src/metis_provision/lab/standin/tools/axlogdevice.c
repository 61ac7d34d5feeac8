// SPDX-License-Identifier: GPL-2.0-only
/*
 * STAND-IN for the vendor's axlogdevice: prints the log of the first virtual card's firmware, of which there is the
 * collector's line of temperatures, once a second until it is stopped. It has the node open for as long as it runs.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "standin.h"

#define PERIOD_SECONDS 1

enum { OPTION_VERSION = 256, OPTION_HELP, OPTION_LOG, OPTION_LEVEL };

static const struct option long_options[] = {
	{ "slog", no_argument, NULL, OPTION_LOG },
	{ "slog-level", required_argument, NULL, OPTION_LEVEL },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

/* What the command line asks for: the log at all, and the collector's information in it. */
struct wishes {
	bool log;
	bool collector;
};

static int usage(FILE *to, int code)
{
	fputs("usage: axlogdevice --slog [--slog-level LEVEL:MODULE]\n"
	      "Prints the log of the first card until it is stopped. Stand-in of the metis-provision lab.\n",
	      to);
	return code;
}

/* A line of the collector, stamped with the time since boot; temperatures are thousandths of a degree Celsius. */
static void print_temperatures(const __u32 temperature[5])
{
	const int *sensor = (const int *)temperature;
	struct timespec time;
	unsigned int seconds;

	clock_gettime(CLOCK_MONOTONIC, &time);
	seconds = time.tv_sec;
	printf("[%02u:%02u:%02u.%03u,%03u] <inf> collector: core_temps=[%d,%d,%d,%d,%d]\n", seconds / 3600,
	       seconds / 60 % 60, seconds % 60, (unsigned int)(time.tv_nsec / 1000000),
	       (unsigned int)(time.tv_nsec / 1000 % 1000), sensor[0] / 1000, sensor[1] / 1000, sensor[2] / 1000,
	       sensor[3] / 1000, sensor[4] / 1000);
}

/* Firmware that is not up logs nothing: the tool waits for it, as the real one does. */
static int follow(int fd, bool collector)
{
	struct metis_info info;

	for (;;) {
		if (ioctl(fd, METIS_IOC_INFO, &info)) {
			perror("axlogdevice: asking the card");
			return EXIT_FAULT;
		}
		if (collector && info.magic == METIS_BLOCK_MAGIC)
			print_temperatures(info.temperature);
		sleep(PERIOD_SECONDS);
	}
}

static bool level_option(struct wishes *wishes)
{
	static const char *const levels[] = { "dbg:", "inf:", "wrn:", "err:" };
	size_t level;

	for (level = 0; level < sizeof(levels) / sizeof(levels[0]); level++) {
		size_t length = strlen(levels[level]);

		if (strncmp(optarg, levels[level], length) || !optarg[length])
			continue;
		wishes->collector = level < 2 && !strcmp(optarg + length, "collector");
		return true;
	}
	fprintf(stderr, "axlogdevice: --slog-level takes LEVEL:MODULE, for example inf:collector, not '%s'\n", optarg);
	return false;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct wishes *wishes)
{
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_LOG:
			wishes->log = true;
			break;
		case OPTION_LEVEL:
			if (!level_option(wishes))
				return EXIT_USAGE;
			break;
		case OPTION_VERSION:
			puts("axlogdevice " STANDIN_VERSION " (stand-in)");
			return EXIT_FINE;
		case OPTION_HELP:
			return usage(stdout, EXIT_FINE);
		default:
			return usage(stderr, EXIT_USAGE);
		}
	}
	return optind == argc && wishes->log ? -1 : usage(stderr, EXIT_USAGE);
}

int main(int argc, char **argv)
{
	struct wishes wishes = { .log = false, .collector = true };
	struct device devices[MAX_DEVICES];
	int code = parse(argc, argv, &wishes);
	int fd;

	if (code >= 0)
		return code;
	if (!host_is_ready() || find_devices(devices) < 0)
		return EXIT_FAULT;
	fd = open_device(0, &devices[0]);
	if (fd < 0)
		return EXIT_FAULT;
	/* Who reads through a pipe gets each line when it is written. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	return follow(fd, wishes.collector);
}
