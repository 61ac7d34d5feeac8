// SPDX-License-Identifier: GPL-2.0-only
/* Jobs: written to the host buffer, started by one register write, finished by an interrupt. */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/jiffies.h>

#include "metis_card.h"

#define POLL_MICROSECONDS 200

static struct metis_completion *completion_of(struct metis_card *card)
{
	return card->host + METIS_COMPLETION;
}

static u32 completed_sequence(struct metis_card *card)
{
	u32 sequence = le32_to_cpu(READ_ONCE(completion_of(card)->sequence));

	/* The rest of the completion was written before its sequence. */
	dma_rmb();
	return sequence;
}

irqreturn_t metis_interrupt(int irq, void *data)
{
	struct metis_card *card = data;

	WRITE_ONCE(card->acknowledged, completed_sequence(card));
	wake_up(&card->finished);
	return IRQ_HANDLED;
}

static bool is_finished(struct metis_card *card)
{
	return READ_ONCE(card->gone) || READ_ONCE(card->acknowledged) == card->sequence;
}

/* Hosts whose interrupts cannot be relied upon set dma_poll. */
static int wait_by_polling(struct metis_card *card, unsigned long timeout)
{
	unsigned long deadline = jiffies + timeout;

	while (!READ_ONCE(card->gone) && completed_sequence(card) != card->sequence) {
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
		if (signal_pending(current))
			return -EINTR;
		usleep_range(POLL_MICROSECONDS, 2 * POLL_MICROSECONDS);
	}
	return 0;
}

static int wait_by_interrupt(struct metis_card *card, unsigned long timeout)
{
	long left = wait_event_interruptible_timeout(card->finished, is_finished(card), timeout);

	if (left < 0)
		return -EINTR;
	return left ? 0 : -ETIMEDOUT;
}

static bool in_data(u64 position, u64 length)
{
	return position + length <= METIS_HOST_BUFFER_SIZE - METIS_DATA;
}

static int check_request(const struct metis_request *request)
{
	u64 rows = request->rows, cols = request->cols;

	if (rows > METIS_MAX_DIMENSION || cols > METIS_MAX_DIMENSION)
		return -EINVAL;
	switch (request->opcode) {
	case METIS_OP_LOAD_WEIGHTS:
		return in_data(request->input, rows * cols) ? 0 : -EINVAL;
	case METIS_OP_MULTIPLY:
		return in_data(request->input, cols) && in_data(request->output, rows * sizeof(s32)) ? 0 : -EINVAL;
	default:
		return 0;
	}
}

static unsigned int vector_of(u32 opcode)
{
	switch (opcode) {
	case METIS_OP_LOAD_WEIGHTS:
		return METIS_VECTOR_DMA_READ;
	case METIS_OP_SET_CLOCK:
	case METIS_OP_SET_MVM:
	case METIS_OP_SET_THROTTLE:
		return METIS_VECTOR_MESSAGE;
	default:
		return METIS_VECTOR_KERNEL;
	}
}

static void start(struct metis_card *card, const struct metis_request *request)
{
	struct metis_job *job = card->host + METIS_JOB;
	dma_addr_t data = card->host_address + METIS_DATA;

	card->sequence++;
	job->magic = cpu_to_le32(METIS_JOB_MAGIC);
	job->opcode = cpu_to_le32(request->opcode);
	job->input = cpu_to_le64(data + request->input);
	job->output = cpu_to_le64(data + request->output);
	job->rows = cpu_to_le32(request->rows);
	job->cols = cpu_to_le32(request->cols);
	job->cores = cpu_to_le32(request->cores);
	job->value = cpu_to_le32(request->value);
	job->sequence = cpu_to_le32(card->sequence);
	/* writel orders the job before the doorbell. */
	writel(card->sequence, card->bar0 + METIS_BAR0_DOORBELL);
}

/*
 * Run one job to its end; called with the card's lock held. Returns 0 when the card completed it (its own
 * opinion is in request->status), -ENODEV for a card that went away, -EIO for one that was not up when the
 * driver met it, -ETIMEDOUT, -EINTR, or -EINVAL for a request that leaves the buffer.
 */
int metis_run(struct metis_card *card, struct metis_request *request)
{
	bool message = vector_of(request->opcode) == METIS_VECTOR_MESSAGE;
	unsigned int seconds = message ? metis_irq_timeout : metis_dma_timeout;
	int result = check_request(request);

	if (result)
		return result;
	if (!card->area)
		return -EIO;
	start(card, request);
	card->jobs++;
	if (metis_dma_poll)
		result = wait_by_polling(card, seconds * HZ);
	else
		result = wait_by_interrupt(card, seconds * HZ);
	if (READ_ONCE(card->gone))
		return -ENODEV;
	if (result == -ETIMEDOUT) {
		card->timeouts++;
		dev_err(&card->pdev->dev, "IRQ MSI timeout (%u %u)\n", vector_of(request->opcode), seconds);
	}
	if (result) {
		/* Without this a late completion could land in the next job's answer. */
		writel(1, card->bar0 + METIS_BAR0_ABORT);
		return result;
	}
	request->status = le32_to_cpu(completion_of(card)->status);
	request->card_ns = le64_to_cpu(completion_of(card)->card_ns);
	return 0;
}

void metis_read_info(struct metis_card *card, struct metis_info *info)
{
	int sensor;

	memset(info, 0, sizeof(*info));
	info->magic = readl(card->bar0 + METIS_BAR0_MAGIC);
	info->layout = readl(card->bar0 + METIS_BAR0_LAYOUT);
	info->firmware = readl(card->bar0 + METIS_BAR0_FIRMWARE);
	info->board_controller = readl(card->bar0 + METIS_BAR0_BOARD_CONTROLLER);
	info->memory_mib = readl(card->bar0 + METIS_BAR0_MEMORY_MIB);
	info->board = readl(card->bar0 + METIS_BAR0_BOARD);
	info->clock_mhz = readl(card->bar0 + METIS_BAR0_CLOCK_MHZ);
	info->mvm_percent = readl(card->bar0 + METIS_BAR0_MVM_PERCENT);
	for (sensor = 0; sensor < ARRAY_SIZE(info->temperature); sensor++)
		info->temperature[sensor] = readl(card->bar0 + METIS_BAR0_TEMP_BOARD + 4 * sensor);
}
