// SPDX-License-Identifier: GPL-2.0-only
/* Model files, the numbers that follow from a seed, and the product worked out on the host. */
#define _GNU_SOURCE /* program_invocation_short_name: more than one tool reads models */
#include "model.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_FILE 4096
#define LONGEST_RELEASE 31

/* Model files are flat objects of ours, so finding a key and its number is all the JSON that is needed. */
static bool number_in(const char *path, const char *text, const char *key, uint64_t low, uint64_t high,
		      uint64_t *value)
{
	char quoted[64];
	const char *place;
	char *end;

	snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	place = strstr(text, quoted);
	if (place) {
		place += strlen(quoted);
		place += strspn(place, " \t\r\n");
	}
	if (!place || *place != ':') {
		fprintf(stderr, "%s: %s has no \"%s\"\n", program_invocation_short_name, path, key);
		return false;
	}
	place += 1 + strspn(place + 1, " \t\r\n");
	errno = 0;
	*value = strtoull(place, &end, 10);
	if (!isdigit((unsigned char)*place) || errno || !strchr(",} \t\r\n", *end) || *value < low || *value > high) {
		fprintf(stderr, "%s: %s: \"%s\" must be a number from %llu to %llu\n",
			program_invocation_short_name, path, key, (unsigned long long)low, (unsigned long long)high);
		return false;
	}
	return true;
}

/* The string after a key, unescaped because ours need no escapes; NULL if the file does not have it. */
static const char *string_in(const char *text, const char *key, size_t *length)
{
	char quoted[64];
	const char *place;

	snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	place = strstr(text, quoted);
	if (!place)
		return NULL;
	place += strlen(quoted);
	place += strspn(place, " \t\r\n:");
	if (*place != '"')
		return NULL;
	*length = strcspn(++place, "\"");
	return place;
}

static bool is_for(const char *path, const char *text, const char *release)
{
	size_t length;
	const char *actual = string_in(text, "compiled_for", &length);

	if (!actual || (length == strlen(release) && !strncmp(actual, release, length)))
		return true;
	fprintf(stderr, "%s: %s: Version mismatch! Actual=\"%.*s\" Expected=\"%s\"\n",
		program_invocation_short_name, path, (int)(length < LONGEST_RELEASE ? length : LONGEST_RELEASE), actual, release);
	return false;
}

static bool read_golden(const char *path, const char *text, struct model *model)
{
	size_t length, byte;
	const char *digits = string_in(text, "golden", &length);
	unsigned int value;

	model->golden_size = 0;
	if (!digits)
		return true;
	for (byte = 0; 2 * byte < length && byte < sizeof(model->golden); byte++) {
		if (!isxdigit((unsigned char)digits[2 * byte]) || !isxdigit((unsigned char)digits[2 * byte + 1]) ||
		    sscanf(digits + 2 * byte, "%2x", &value) != 1)
			break;
		model->golden[byte] = value;
	}
	model->golden_size = byte;
	if (2 * byte == length && byte == model->rows * sizeof(int32_t))
		return true;
	fprintf(stderr, "%s: %s: \"golden\" must be %zu hexadecimal digits\n",
		program_invocation_short_name, path, 2 * model->rows * sizeof(int32_t));
	return false;
}

static bool slurp(const char *path, char text[LARGEST_FILE + 1])
{
	FILE *file = fopen(path, "r");
	size_t length;

	if (!file) {
		fprintf(stderr, "%s: %s cannot be read: %s\n", program_invocation_short_name, path, strerror(errno));
		return false;
	}
	length = fread(text, 1, LARGEST_FILE + 1, file);
	fclose(file);
	if (length > LARGEST_FILE) {
		fprintf(stderr, "%s: %s is no model file: longer than %d bytes\n", program_invocation_short_name, path,
			LARGEST_FILE);
		return false;
	}
	text[length] = '\0';
	return true;
}

bool read_model(const char *path, const char *release, struct model *model)
{
	char text[LARGEST_FILE + 1];
	uint64_t rows, cols, seed;

	if (!slurp(path, text) || !is_for(path, text, release) ||
	    !number_in(path, text, "rows", 1, METIS_MAX_DIMENSION, &rows) ||
	    !number_in(path, text, "cols", 1, METIS_MAX_DIMENSION, &cols) ||
	    !number_in(path, text, "seed", 1, UINT32_MAX, &seed) ||
	    !number_in(path, text, "operations_per_inference", 1, UINT64_MAX, &model->operations))
		return false;
	model->rows = rows;
	model->cols = cols;
	model->seed = seed;
	return read_golden(path, text, model);
}

/* Marsaglia's 32-bit xorshift; it must not be in state zero. */
static uint32_t next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

void fill(int8_t *to, uint32_t count, uint32_t seed)
{
	uint32_t state = seed ? seed : 1;
	uint32_t index;

	for (index = 0; index < count; index++)
		to[index] = (int8_t)(next(&state) >> 24);
}

void expect(const struct model *model, const int8_t *weights, const int8_t *vector, uint8_t *answer)
{
	uint32_t row, col;

	for (row = 0; row < model->rows; row++) {
		int32_t sum = 0;

		for (col = 0; col < model->cols; col++)
			sum += weights[row * model->cols + col] * vector[col];
		for (col = 0; col < sizeof(sum); col++)
			answer[row * sizeof(sum) + col] = (uint32_t)sum >> (8 * col);
	}
}
