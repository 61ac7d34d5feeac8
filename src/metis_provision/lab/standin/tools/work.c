// SPDX-License-Identifier: GPL-2.0-only
/* A model at work on a card: weights, products, and the time they take. */
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "standin.h"

/* Where in the data part of the host buffer things stand: the largest model fits in front of each. */
#define WEIGHTS_AT 0
#define VECTOR_AT (METIS_MAX_DIMENSION * METIS_MAX_DIMENSION)
#define ANSWER_AT (VECTOR_AT + METIS_MAX_DIMENSION)

bool prepare_work(const char *path, const char *release, uint32_t cores, struct work *work)
{
	if (!read_model(path, release, &work->model))
		return false;
	work->cores = cores;
	work->weights = malloc(work->model.rows * work->model.cols);
	if (!work->weights) {
		perror("weights");
		return false;
	}
	fill(work->weights, work->model.rows * work->model.cols, work->model.seed);
	return true;
}

static bool transfer_failed(int index, const char *what)
{
	fprintf(stderr, "Device %d: %s the card's buffer failed: %m\n", index, what);
	return false;
}

bool load_weights(const struct work *work, int index, int fd)
{
	uint32_t size = work->model.rows * work->model.cols;
	struct metis_request request = {
		.opcode = METIS_OP_LOAD_WEIGHTS,
		.rows = work->model.rows,
		.cols = work->model.cols,
		.input = WEIGHTS_AT,
	};

	if (pwrite(fd, work->weights, size, WEIGHTS_AT) != (ssize_t)size)
		return transfer_failed(index, "writing to");
	return run_job(index, fd, &request);
}

bool multiply(const struct work *work, int index, int fd, const int8_t *vector, uint8_t *answer, uint64_t *on_card)
{
	ssize_t size = work->model.rows * sizeof(int32_t);
	struct metis_request request = {
		.opcode = METIS_OP_MULTIPLY,
		.rows = work->model.rows,
		.cols = work->model.cols,
		.cores = work->cores,
		.input = VECTOR_AT,
		.output = ANSWER_AT,
	};

	if (pwrite(fd, vector, work->model.cols, VECTOR_AT) != (ssize_t)work->model.cols)
		return transfer_failed(index, "writing to");
	if (!run_job(index, fd, &request))
		return false;
	*on_card += request.card_ns;
	return pread(fd, answer, size, ANSWER_AT) == size || transfer_failed(index, "reading from");
}

uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

double per_second(uint64_t count, uint64_t nanoseconds)
{
	return nanoseconds ? count * 1e9 / nanoseconds : 0;
}
