// SPDX-License-Identifier: GPL-2.0-only
/*
 * STAND-IN for the SDK's inference.py, under that name: takes frames from a file, has the first virtual card multiply
 * each, and reports what the last lines and the table of --show-stats report. It compares no answer.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "standin.h"
#include "work.h"

#define MODELS "/usr/share/axelera/models"
#define LARGEST_SOURCE (1 << 20)
#define DEFAULT_FRAMES 100
#define MOST_FRAMES 1000000
#define NUMBER_SIZE 48

enum { OPTION_VERSION = 256, OPTION_HELP, OPTION_NO_DISPLAY, OPTION_FRAMES, OPTION_STATS, OPTION_CORES };

static const struct option long_options[] = {
	{ "no-display", no_argument, NULL, OPTION_NO_DISPLAY },
	{ "frames", required_argument, NULL, OPTION_FRAMES },
	{ "show-stats", no_argument, NULL, OPTION_STATS },
	{ "aipu-cores", required_argument, NULL, OPTION_CORES },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

struct wishes {
	const char *network;
	const char *source;
	bool no_display;
	bool stats;
	long frames;
	long cores;
};

/* The bytes that frames are cut from, over and over. */
struct source {
	uint8_t bytes[LARGEST_SOURCE];
	size_t size;
};

/* What a run came to; times in nanoseconds. */
struct tally {
	uint64_t frames;
	uint64_t reading;
	uint64_t on_card;
	uint64_t whole;
};

static int usage(FILE *to, int code)
{
	fputs("usage: inference.py NETWORK SOURCE --no-display [--frames N] [--show-stats] [--aipu-cores N]\n"
	      "Runs a network over the frames in a file. Stand-in of the metis-provision lab.\n",
	      to);
	return code;
}

static bool read_source(const char *path, struct source *source)
{
	FILE *file = fopen(path, "r");

	if (!file) {
		fprintf(stderr, "inference.py: %s cannot be read: %m\n", path);
		return false;
	}
	source->size = fread(source->bytes, 1, sizeof(source->bytes), file);
	fclose(file);
	if (!source->size)
		fprintf(stderr, "inference.py: %s has no frames\n", path);
	return source->size > 0;
}

static void cut_frame(const struct source *source, uint64_t number, uint32_t size, int8_t *frame)
{
	uint32_t byte;

	for (byte = 0; byte < size; byte++)
		frame[byte] = (int8_t)source->bytes[(number * size + byte) % source->size];
}

static bool run(const struct work *work, int fd, const struct source *source, long frames, struct tally *tally)
{
	int8_t frame[METIS_MAX_DIMENSION];
	uint8_t answer[ANSWER_SIZE];
	uint64_t started = now();

	if (!load_weights(work, 0, fd))
		return false;
	for (tally->frames = 0; tally->frames < (uint64_t)frames; tally->frames++) {
		uint64_t reading = now();

		cut_frame(source, tally->frames, work->model.cols, frame);
		tally->reading += now() - reading;
		if (!multiply(work, 0, fd, frame, answer, &tally->on_card))
			return false;
	}
	tally->whole = now() - started;
	return true;
}

/* One decimal, and a comma between thousands, as the real table has them. */
static const char *grouped(double value, char text[NUMBER_SIZE])
{
	char plain[NUMBER_SIZE / 2];
	size_t digits, from, to = 0;

	snprintf(plain, sizeof(plain), "%.1f", value);
	digits = strcspn(plain, ".");
	for (from = 0; plain[from]; from++) {
		if (from && from < digits && !((digits - from) % 3))
			text[to++] = ',';
		text[to++] = plain[from];
	}
	text[to] = '\0';
	return text;
}

static void print_element(const char *name, uint64_t frames, uint64_t nanoseconds)
{
	char latency[NUMBER_SIZE], rate[NUMBER_SIZE];

	printf("%-34s %14s %16s\n", name, grouped(nanoseconds / 1e3 / frames, latency),
	       grouped(per_second(frames, nanoseconds), rate));
}

static void report(const struct tally *tally)
{
	char rate[NUMBER_SIZE];

	puts("Element                               Latency(us)    Effective FPS");
	print_element("Frame source", tally->frames, tally->reading);
	print_element("Matrix product", tally->frames, tally->on_card);
	printf("End-to-end average measurement %35s\n", grouped(per_second(tally->frames, tally->whole), rate));
	printf("Device throughput: %.1f FPS\n", per_second(tally->frames, tally->on_card));
	printf("System throughput: %.1f FPS\n", per_second(tally->frames, tally->whole));
}

static bool take_option(int option, struct wishes *wishes)
{
	bool fine = true;

	switch (option) {
	case OPTION_NO_DISPLAY:
		wishes->no_display = true;
		break;
	case OPTION_STATS:
		wishes->stats = true;
		break;
	case OPTION_FRAMES:
		fine = parse_number(optarg, 1, MOST_FRAMES, &wishes->frames);
		break;
	default:
		fine = parse_number(optarg, 1, METIS_CORES, &wishes->cores);
		break;
	}
	if (!fine)
		fprintf(stderr, "inference.py: '%s' is out of range\n", optarg);
	return fine;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct wishes *wishes)
{
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_VERSION:
			puts("inference.py " STANDIN_VERSION " (stand-in)");
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
	/* There is no display for it to draw on. */
	if (optind + 2 != argc || !wishes->no_display)
		return usage(stderr, EXIT_USAGE);
	wishes->network = argv[optind];
	wishes->source = argv[optind + 1];
	return -1;
}

/* A network is known by the name of its model. */
static bool prepare(const struct wishes *wishes, struct work *work)
{
	char path[512];

	snprintf(path, sizeof(path), MODELS "/%s.json", wishes->network);
	return prepare_work(strchr(wishes->network, '/') ? wishes->network : path, STANDIN_VERSION, wishes->cores, work);
}

int main(int argc, char **argv)
{
	static struct source source;
	struct wishes wishes = { .frames = DEFAULT_FRAMES, .cores = METIS_CORES };
	struct device devices[MAX_DEVICES];
	struct tally tally = { 0 };
	struct work work = { 0 };
	int code = parse(argc, argv, &wishes);
	int fd;

	if (code >= 0)
		return code;
	if (!prepare(&wishes, &work) || !read_source(wishes.source, &source))
		return EXIT_USAGE;
	if (!host_is_ready() || find_devices(devices) < 0)
		return EXIT_FAULT;
	fd = open_device(0, &devices[0]);
	if (fd < 0 || !run(&work, fd, &source, wishes.frames, &tally))
		return EXIT_FAULT;
	if (wishes.stats)
		report(&tally);
	return EXIT_FINE;
}
