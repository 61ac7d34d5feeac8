// SPDX-License-Identifier: GPL-2.0-only
/*
 * STAND-IN for the vendor's axrunmodel: has virtual cards multiply, compares every byte of the first answer with the
 * golden one in the model's file and of the others with products worked out here, and reports inferences per second.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"
#include "work.h"

#define DEFAULT_SECONDS 2
#define LONGEST_RUN 86400

enum { OPTION_VERSION = 256, OPTION_HELP, OPTION_SECONDS, OPTION_CORES };

static const struct option long_options[] = {
	{ "devices", required_argument, NULL, 'd' },
	{ "seconds", required_argument, NULL, OPTION_SECONDS },
	{ "aipu-cores", required_argument, NULL, OPTION_CORES },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

struct wishes {
	const char *model;
	bool chosen[MAX_DEVICES];
	bool any_chosen;
	long seconds;
	long cores;
};

/* A run over all chosen cards; times in nanoseconds. */
struct run {
	struct work work;
	uint64_t inferences;
	uint64_t bytes;
	uint64_t on_card;
	uint64_t on_host;
};

static int usage(FILE *to, int code)
{
	fputs("usage: axrunmodel MODEL.json [-d 0,1] [--seconds N] [--aipu-cores N]\n"
	      "Runs the model and checks every answer. Stand-in of the metis-provision lab.\n",
	      to);
	return code;
}

static bool compare(struct run *run, int index, const uint8_t *expected, const uint8_t *got)
{
	uint32_t size = run->work.model.rows * sizeof(int32_t);
	uint32_t byte;

	for (byte = 0; byte < size; byte++) {
		if (expected[byte] == got[byte])
			continue;
		printf("Answer check: FAILED: device %d, inference %" PRIu64
		       ", byte %" PRIu32 ": expected 0x%02x, got 0x%02x\n",
		       index, run->inferences, byte, expected[byte], got[byte]);
		return false;
	}
	run->bytes += size;
	return true;
}

/* Each inference has a vector of its own, so that an answer left from the last one cannot pass. */
static bool infer(struct run *run, int index, int fd)
{
	int8_t vector[METIS_MAX_DIMENSION];
	uint8_t expected[ANSWER_SIZE], got[ANSWER_SIZE];
	uint64_t started;

	fill(vector, run->work.model.cols, run->work.model.seed + 1 + (uint32_t)run->inferences);
	started = now();
	if (!multiply(&run->work, index, fd, vector, got, &run->on_card))
		return false;
	run->on_host += now() - started;
	if (!run->inferences && run->work.model.golden_size)
		memcpy(expected, run->work.model.golden, run->work.model.golden_size);
	else
		expect(&run->work.model, run->work.weights, vector, expected);
	if (!compare(run, index, expected, got))
		return false;
	run->inferences++;
	return true;
}

static void report(const struct run *run, uint64_t wall)
{
	double system = per_second(run->inferences, wall);

	printf("Device throughput: %.1f FPS\n", per_second(run->inferences, run->on_card));
	printf("Host throughput: %.1f FPS\n", per_second(run->inferences, run->on_host));
	printf("System throughput: %.1f FPS\n", system);
	printf("Operations: %.1f MOPS\n", system * run->work.model.operations / 1e6);
	printf("Answer check: ok (%" PRIu64 " inferences, %" PRIu64 " bytes compared)\n", run->inferences, run->bytes);
}

static bool run_all(struct run *run, const int *fds, int count, long seconds)
{
	uint64_t started = now();
	uint64_t deadline = started + (uint64_t)seconds * 1000000000;
	int index;

	do {
		for (index = 0; index < count; index++)
			if (fds[index] >= 0 && !infer(run, index, fds[index]))
				return false;
	} while (now() < deadline);
	report(run, now() - started);
	return true;
}

static bool open_chosen(const struct wishes *wishes, struct run *run, int fds[MAX_DEVICES], int *count)
{
	struct device devices[MAX_DEVICES];
	int index;

	*count = find_devices(devices);
	if (*count < 0)
		return false;
	for (index = *count; index < MAX_DEVICES; index++) {
		if (!wishes->chosen[index])
			continue;
		fprintf(stderr, "axrunmodel: there is no device %d, only %d\n", index, *count);
		return false;
	}
	for (index = 0; index < *count; index++) {
		fds[index] = -1;
		if (wishes->any_chosen && !wishes->chosen[index])
			continue;
		fds[index] = open_device(index, &devices[index]);
		if (fds[index] < 0 || !load_weights(&run->work, index, fds[index]))
			return false;
	}
	return true;
}

static bool choose(char *list, struct wishes *wishes)
{
	char *item;
	long index;

	for (item = strtok(list, ","); item; item = strtok(NULL, ",")) {
		if (!parse_number(item, 0, MAX_DEVICES - 1, &index))
			return false;
		wishes->chosen[index] = true;
		wishes->any_chosen = true;
	}
	return wishes->any_chosen;
}

static bool take_option(int option, struct wishes *wishes)
{
	bool fine;

	switch (option) {
	case 'd':
		fine = choose(optarg, wishes);
		break;
	case OPTION_SECONDS:
		fine = parse_number(optarg, 1, LONGEST_RUN, &wishes->seconds);
		break;
	default:
		fine = parse_number(optarg, 1, METIS_CORES, &wishes->cores);
		break;
	}
	if (!fine)
		fprintf(stderr, "axrunmodel: '%s' is out of range\n", optarg);
	return fine;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct wishes *wishes)
{
	int option;

	while ((option = getopt_long(argc, argv, "d:", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_VERSION:
			puts("axrunmodel " STANDIN_VERSION " (stand-in)");
			return EXIT_FINE;
		case OPTION_HELP:
			return usage(stdout, EXIT_FINE);
		case '?':
			return usage(stderr, EXIT_USAGE);
		default:
			if (!take_option(option, wishes))
				return EXIT_USAGE;
		}
	}
	if (optind + 1 != argc)
		return usage(stderr, EXIT_USAGE);
	wishes->model = argv[optind];
	return -1;
}

int main(int argc, char **argv)
{
	struct wishes wishes = { .seconds = DEFAULT_SECONDS, .cores = 1 };
	struct run run = { 0 };
	int fds[MAX_DEVICES], count;
	int code = parse(argc, argv, &wishes);

	if (code >= 0)
		return code;
	if (!prepare_work(wishes.model, STANDIN_VERSION, wishes.cores, &run.work))
		return EXIT_USAGE;
	if (!host_is_ready())
		return EXIT_FAULT;
	if (!open_chosen(&wishes, &run, fds, &count) || !run_all(&run, fds, count, wishes.seconds))
		return EXIT_FAULT;
	return EXIT_FINE;
}
