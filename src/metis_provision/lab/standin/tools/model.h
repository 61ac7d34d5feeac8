/* SPDX-License-Identifier: GPL-2.0-only */
/* The model that a tool runs: its file, its numbers, and the answer it must give. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "metis_regs.h"

#define ANSWER_SIZE (METIS_MAX_DIMENSION * 4)

/* golden is the answer to the first vector as the file has it, golden_size 0 if the file has none. */
struct model {
	uint32_t rows;
	uint32_t cols;
	uint32_t seed;
	uint64_t operations;
	uint32_t golden_size;
	uint8_t golden[ANSWER_SIZE];
};

/* Read a model file that was compiled for release; prints what is wrong with it and returns false. */
bool read_model(const char *path, const char *release, struct model *model);

/* Fill count signed bytes with numbers that follow from seed. */
void fill(int8_t *to, uint32_t count, uint32_t seed);

/* The product as the card must give it: rows little-endian 32-bit sums. */
void expect(const struct model *model, const int8_t *weights, const int8_t *vector, uint8_t *answer);

#endif
