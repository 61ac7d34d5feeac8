/* SPDX-License-Identifier: GPL-2.0-only */
/* A card as the stand-in driver holds it, and what its source files ask of each other. */
#ifndef METIS_CARD_H
#define METIS_CARD_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/wait.h>

#include "metis_ioctl.h"
#include "metis_regs.h"

#define METIS_MODULE "metis"
#define METIS_PCI_DRIVER "axl"

/* A job as the card reads it from the host buffer. */
struct metis_job {
	__le32 magic;
	__le32 opcode;
	__le64 input;
	__le64 output;
	__le32 rows;
	__le32 cols;
	__le32 cores;
	__le32 value;
	__le32 sequence;
	__le32 reserved;
};

/* How a job ended, as the card writes it; the sequence comes last. */
struct metis_completion {
	__le32 sequence;
	__le32 status;
	__le64 card_ns;
};

struct metis_card {
	struct device dev; /* of class metis; an open node keeps the card alive through it */
	struct cdev cdev;
	struct pci_dev *pdev;
	struct mutex lock; /* everything below; held while a job runs */
	bool gone; /* set by removal, also read by a waiting job without the lock */
	bool held; /* a program has the node open */
	void __iomem *bar0;
	void __iomem *bar2;
	void __iomem *area; /* host-driver area, NULL until the buffer is announced there */
	void *host;
	dma_addr_t host_address;
	int vectors;
	u32 sequence;
	u32 acknowledged; /* sequence the last interrupt found */
	wait_queue_head_t finished;
	u64 jobs;
	u64 timeouts;
	struct pci_saved_state *saved;
	struct dentry *debugfs;
};

extern unsigned int metis_dma_timeout;
extern unsigned int metis_irq_timeout;
extern unsigned int metis_dma_poll;

/* metis_job.c */
irqreturn_t metis_interrupt(int irq, void *data);
int metis_run(struct metis_card *card, struct metis_request *request);
void metis_read_info(struct metis_card *card, struct metis_info *info);

/* metis_node.c */
int metis_node_setup(void);
void metis_node_teardown(void);
int metis_node_prepare(struct metis_card *card);
int metis_node_add(struct metis_card *card);
void metis_node_remove(struct metis_card *card);

#endif
