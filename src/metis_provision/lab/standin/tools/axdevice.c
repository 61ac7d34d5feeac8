// SPDX-License-Identifier: GPL-2.0-only
/* STAND-IN for the vendor's axdevice: lists virtual cards and sets their clock, MVM limit and throttling. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "standin.h"

enum { OPTION_VERSION = 256, OPTION_HELP, OPTION_CLOCK, OPTION_MVM, OPTION_THROTTLE };

static const struct option long_options[] = {
	{ "device", required_argument, NULL, 'd' },
	{ "set-clock", required_argument, NULL, OPTION_CLOCK },
	{ "set-mvm-limitation", required_argument, NULL, OPTION_MVM },
	{ "set-sw-throttling", required_argument, NULL, OPTION_THROTTLE },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

/* What the command line asks for; -1 stands for not asked. */
struct wishes {
	long device;
	long clock;
	long mvm;
	long throttle;
};

static int usage(FILE *to, int code)
{
	fputs("usage: axdevice [--device N] [--set-clock MHZ] [--set-mvm-limitation PERCENT] [--set-sw-throttling=T:H:L]\n"
	      "Without arguments lists the cards of this host. Stand-in of the metis-provision lab.\n",
	      to);
	return code;
}

static const char *board_name(uint32_t board)
{
	switch (board) {
	case METIS_BOARD_M2: return "m2";
	case METIS_BOARD_PCIE: return "pcie";
	default: return "unknown";
	}
}

static void print_card(int index, const struct device *device, const struct metis_info *info)
{
	printf("Device %d: %s %uGiB %s flver=%u.%u.%u bcver=%u.%u clock=%uMHz(0-3:%uMHz) mvm=0-3:%u%%\n", index,
	       device->label, info->memory_mib / 1024, board_name(info->board), info->firmware >> 16,
	       info->firmware >> 8 & 0xff, info->firmware & 0xff, info->board_controller >> 8,
	       info->board_controller & 0xff, info->clock_mhz, info->clock_mhz, info->mvm_percent);
}

static bool set(int index, int fd, uint32_t opcode, long value)
{
	struct metis_request request = { .opcode = opcode, .value = value };

	return value < 0 || run_job(index, fd, &request);
}

static bool serve(int index, const struct device *device, const struct wishes *wishes)
{
	struct metis_info info;
	bool fine = false;
	int fd = open_device(index, device);

	if (fd < 0)
		return false;
	if (ioctl(fd, METIS_IOC_INFO, &info)) {
		perror("axdevice: asking the card");
	} else if (info.magic != METIS_BLOCK_MAGIC) {
		printf("Device %d: %s board_type=unknown (not responding)\n", index, device->label);
	} else if (set(index, fd, METIS_OP_SET_CLOCK, wishes->clock) &&
		   set(index, fd, METIS_OP_SET_MVM, wishes->mvm) &&
		   set(index, fd, METIS_OP_SET_THROTTLE, wishes->throttle) && !ioctl(fd, METIS_IOC_INFO, &info)) {
		print_card(index, device, &info);
		fine = true;
	}
	close(fd);
	return fine;
}

static bool number_option(const char *name, long low, long high, long *value)
{
	if (parse_number(optarg, low, high, value))
		return true;
	fprintf(stderr, "axdevice: %s takes a number from %ld to %ld, not '%s'\n", name, low, high, optarg);
	return false;
}

/* Above T degrees Celsius MVM at L percent, until H degrees cooler; packed as the card keeps it. */
static bool throttle_option(long *value)
{
	unsigned int threshold, hysteresis, percent;
	char rest;

	if (sscanf(optarg, "%3u:%3u:%3u%c", &threshold, &hysteresis, &percent, &rest) == 3 &&
	    threshold <= METIS_HIGHEST_THRESHOLD && hysteresis < threshold && percent >= 1 && percent <= 100) {
		*value = threshold << 16 | hysteresis << 8 | percent;
		return true;
	}
	fprintf(stderr, "axdevice: --set-sw-throttling takes T:H:L, for example 85:5:40, not '%s'\n", optarg);
	return false;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct wishes *wishes)
{
	int option;

	while ((option = getopt_long(argc, argv, "d:", long_options, NULL)) != -1) {
		bool fine = true;

		switch (option) {
		case 'd':
			fine = number_option("--device", 0, MAX_DEVICES - 1, &wishes->device);
			break;
		case OPTION_CLOCK:
			fine = number_option("--set-clock", 100, 800, &wishes->clock);
			break;
		case OPTION_MVM:
			fine = number_option("--set-mvm-limitation", 1, 100, &wishes->mvm);
			break;
		case OPTION_THROTTLE:
			fine = throttle_option(&wishes->throttle);
			break;
		case OPTION_VERSION:
			puts("axdevice " STANDIN_VERSION " (stand-in)");
			return EXIT_FINE;
		case OPTION_HELP:
			return usage(stdout, EXIT_FINE);
		default:
			return usage(stderr, EXIT_USAGE);
		}
		if (!fine)
			return EXIT_USAGE;
	}
	return optind == argc ? -1 : usage(stderr, EXIT_USAGE);
}

int main(int argc, char **argv)
{
	struct wishes wishes = { .device = -1, .clock = -1, .mvm = -1, .throttle = -1 };
	struct device devices[MAX_DEVICES];
	int code = parse(argc, argv, &wishes);
	int count, index;

	if (code >= 0)
		return code;
	if (!host_is_ready())
		return EXIT_FAULT;
	count = find_devices(devices);
	if (count < 0)
		return EXIT_FAULT;
	if (wishes.device >= count) {
		fprintf(stderr, "axdevice: there is no device %ld, only %d\n", wishes.device, count);
		return EXIT_FAULT;
	}
	code = EXIT_FINE;
	for (index = 0; index < count; index++)
		if ((wishes.device < 0 || wishes.device == index) && !serve(index, &devices[index], &wishes))
			code = EXIT_FAULT;
	return code;
}
