/* SPDX-License-Identifier: GPL-2.0-only */
/* A model at work on a card, for the tools that run one. */
#ifndef WORK_H
#define WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

/* A model, its weights, and over how many cores a card spreads it. */
struct work {
	struct model model;
	int8_t *weights;
	uint32_t cores;
};

/* Read the model file, compiled for release, and make its weights; prints what is wrong and returns false. */
bool prepare_work(const char *path, const char *release, uint32_t cores, struct work *work);

/* Give a card the weights. Prints what went wrong and returns false. */
bool load_weights(const struct work *work, int index, int fd);

/* Have a card multiply; *on_card grows by the nanoseconds it took. Prints what went wrong and returns false. */
bool multiply(const struct work *work, int index, int fd, const int8_t *vector, uint8_t *answer, uint64_t *on_card);

/* Nanoseconds of a clock that only goes forwards. */
uint64_t now(void);

double per_second(uint64_t count, uint64_t nanoseconds);

#endif
