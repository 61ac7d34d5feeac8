// SPDX-License-Identifier: GPL-2.0-only
/* STAND-IN for the vendor's axcmd: tells the temperature of every virtual card's board. */
#include <getopt.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "standin.h"

enum { OPTION_VERSION = 256, OPTION_HELP, OPTION_BOARD_TEMPERATURE };

static const struct option long_options[] = {
	{ "board-temp", no_argument, NULL, OPTION_BOARD_TEMPERATURE },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

static int usage(FILE *to, int code)
{
	fputs("usage: axcmd --board-temp\n"
	      "Tells the temperature of every board. Stand-in of the metis-provision lab.\n",
	      to);
	return code;
}

/* The registers have thousandths of a degree Celsius. */
static bool tell(int index, const struct device *device)
{
	struct metis_info info = { 0 };
	int fd = open_device(index, device);
	bool fine;

	if (fd < 0)
		return false;
	fine = !ioctl(fd, METIS_IOC_INFO, &info) && info.magic == METIS_BLOCK_MAGIC;
	close(fd);
	if (fine)
		printf("%d: temp_sensor0@48 = %.2f\n", index, (int)info.temperature[0] / 1000.0);
	else
		fprintf(stderr, "%d: the card does not answer\n", index);
	return fine;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv)
{
	bool asked = false;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_BOARD_TEMPERATURE:
			asked = true;
			break;
		case OPTION_VERSION:
			puts("axcmd " STANDIN_VERSION " (stand-in)");
			return EXIT_FINE;
		case OPTION_HELP:
			return usage(stdout, EXIT_FINE);
		default:
			return usage(stderr, EXIT_USAGE);
		}
	}
	return optind == argc && asked ? -1 : usage(stderr, EXIT_USAGE);
}

int main(int argc, char **argv)
{
	struct device devices[MAX_DEVICES];
	int code = parse(argc, argv);
	int count, index;

	if (code >= 0)
		return code;
	if (!host_is_ready())
		return EXIT_FAULT;
	count = find_devices(devices);
	if (count < 0)
		return EXIT_FAULT;
	code = EXIT_FINE;
	for (index = 0; index < count; index++)
		if (!tell(index, &devices[index]))
			code = EXIT_FAULT;
	return code;
}
