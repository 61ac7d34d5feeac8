// SPDX-License-Identifier: GPL-2.0-only
/* Finding, opening and asking cards, for every tool. */
#include "standin.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLASS_DIRECTORY "/sys/class/metis"

/* Whether the command prints a line whose first word is the wanted one, or any line at all for NULL. */
static bool output_has(const char *command, const char *word)
{
	char line[512], first[512];
	bool found = false;
	FILE *output = popen(command, "r");

	if (!output)
		return false;
	while (fgets(line, sizeof(line), output))
		if (sscanf(line, "%511s", first) == 1 && (!word || !strcmp(first, word)))
			found = true;
	pclose(output);
	return found;
}

bool host_is_ready(void)
{
	if (!output_has("lsmod 2>/dev/null", "metis")) {
		fputs("AXR_ERROR_CONNECTION_ERROR: No AIPU driver found in lsmod output\n", stderr);
		return false;
	}
	if (!output_has("lspci -n -d 1f9d: 2>/dev/null", NULL)) {
		fputs("AXR_ERROR_CONNECTION_ERROR: No target device found in lspci\n", stderr);
		return false;
	}
	return true;
}

/* The kernel name of the node behind an entry of the class, which may show it under an older name. */
static bool read_node(const char *entry, char node[NAME_SIZE])
{
	char path[512], line[NAME_SIZE + 16];
	bool found = false;
	FILE *uevent;

	snprintf(path, sizeof(path), CLASS_DIRECTORY "/%s/uevent", entry);
	uevent = fopen(path, "r");
	if (!uevent)
		return false;
	while (fgets(line, sizeof(line), uevent))
		found |= sscanf(line, "DEVNAME=%255s", node) == 1;
	fclose(uevent);
	return found && !strncmp(node, "metis-", strlen("metis-"));
}

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct device *)left)->node, ((const struct device *)right)->node);
}

static void set_label(struct device *device)
{
	char *letter;

	memcpy(device->label, device->node, sizeof(device->label));
	for (letter = device->label + strlen("metis-"); *letter; letter++)
		if (*letter == '-')
			*letter = ':';
}

int find_devices(struct device devices[MAX_DEVICES])
{
	struct dirent *entry;
	int count = 0;
	DIR *directory = opendir(CLASS_DIRECTORY);

	if (directory) {
		while (count < MAX_DEVICES && (entry = readdir(directory)))
			if (read_node(entry->d_name, devices[count].node))
				set_label(&devices[count++]);
		closedir(directory);
	}
	if (!count) {
		fputs("AXR_ERROR_CONNECTION_ERROR: The driver is loaded but has no device\n", stderr);
		return -1;
	}
	qsort(devices, count, sizeof(devices[0]), by_name);
	return count;
}

int open_device(int index, const struct device *device)
{
	char path[sizeof(device->node) + sizeof("/dev/")];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", device->node);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		fprintf(stderr, "Device %d: %s is held by another process (EBUSY)\n", index, path);
	else
		fprintf(stderr, "Device %d: %s cannot be opened: %s\n", index, path, strerror(errno));
	return -1;
}

static const char *describe_status(uint32_t status)
{
	switch (status) {
	case METIS_STATUS_BAD_OPCODE: return "unknown job";
	case METIS_STATUS_BAD_SHAPE: return "rows, cols or cores out of range";
	case METIS_STATUS_BAD_ADDRESS: return "host memory out of reach";
	case METIS_STATUS_NO_WEIGHTS: return "no weights loaded";
	case METIS_STATUS_BAD_VALUE: return "value out of range";
	default: return "unknown status";
	}
}

bool run_job(int index, int fd, struct metis_request *request)
{
	if (ioctl(fd, METIS_IOC_RUN, request)) {
		if (errno == ETIMEDOUT)
			fputs("USR_DMA_XFER failed: Connection timed out\n", stderr);
		else if (errno == EIO)
			fprintf(stderr, "Device %d: firmware was not up when the driver met the card\n", index);
		else
			fprintf(stderr, "Device %d: job failed: %s\n", index, strerror(errno));
		return false;
	}
	if (request->status != METIS_STATUS_OK) {
		fprintf(stderr, "Device %d: the card refused the job: %s\n", index, describe_status(request->status));
		return false;
	}
	return true;
}

bool parse_number(const char *text, long low, long high, long *value)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, 10);
	return isdigit((unsigned char)text[0]) && !errno && !*end && *value >= low && *value <= high;
}
