/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program may ask of a node of the stand-in driver. Data goes through pread and pwrite; position 0
 * is the start of the data part of the host buffer, and positions in a request count from there too.
 */
#ifndef METIS_IOCTL_H
#define METIS_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Registers as the card gives them; all ones or zero where it does not answer. */
struct metis_info {
	__u32 magic;
	__u32 layout;
	__u32 firmware;
	__u32 board_controller;
	__u32 memory_mib;
	__u32 board;
	__u32 clock_mhz;
	__u32 mvm_percent;
	__u32 temperature[5];
	__u32 reserved[3];
};

/* One job; status and card_ns come back. */
struct metis_request {
	__u32 opcode;
	__u32 rows;
	__u32 cols;
	__u32 cores;
	__u32 input;
	__u32 output;
	__u32 value;
	__u32 status;
	__u64 card_ns;
};

#define METIS_IOC_INFO _IOR('M', 0x41, struct metis_info)
#define METIS_IOC_RUN _IOWR('M', 0x42, struct metis_request)

#endif
