/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers, areas and jobs of the lab's virtual card, in C. The place where they are decided is
 * lab/card/registers.py; a test holds the two together.
 */
#ifndef METIS_REGS_H
#define METIS_REGS_H

#define METIS_BAR0_SIZE 0x1000
#define METIS_BAR2_SIZE 0x2000000
#define METIS_HOST_BUFFER_SIZE 0x200000

#define METIS_MSI_VECTORS 32
#define METIS_VECTOR_KERNEL 0
#define METIS_VECTOR_DMA_READ 4
#define METIS_VECTOR_MESSAGE 12

/* Shared control area at the start of BAR2: what firmware leaves there once it has come up. */
#define METIS_SHARED_SIZE 0x1000
#define METIS_SHARED_CONTROL 0x0
#define METIS_SHARED_CONTROL_MAGIC 0xfd1f
#define METIS_SHARED_MEMORY_MAP 0x208
#define METIS_SHARED_DMA_VM 0x218
#define METIS_SHARED_DMA_VM_MAGIC 0xc1a0c1a0
#define METIS_SHARED_HOST_DRIVER 0x2b8
#define METIS_SHARED_HOST_DRIVER_MAGIC 0xbac1
#define METIS_SHARED_DESCRIPTORS 0x2d0
#define METIS_SHARED_DESCRIPTORS_MAGIC 0xd4d4
#define METIS_SHARED_VMSI 0x2e8
#define METIS_SHARED_VMSI_MAGIC 0xb5b5

/* In a reference to an area: where the area's offset from BAR2 stands. */
#define METIS_REFERENCE_OFFSET 8

/* The host-driver area: where the driver announces its buffer. */
#define METIS_HOST_AREA 0x800
#define METIS_HOST_AREA_CONTROL 0
#define METIS_HOST_AREA_TARGET 8
#define METIS_HOST_AREA_LENGTH 16
#define METIS_HOST_AREA_SIZE 20
#define METIS_HOST_AREA_ANNOUNCED 1

#define METIS_DEVICE_BASE 0x8000000
#define METIS_DESCRIPTOR_AREA 0x840
#define METIS_VMSI_AREA 0x880
#define METIS_DESCRIPTOR_MEMORY 0x8000
#define METIS_WEIGHTS 0x100000

/* The stand-in's register block in BAR0; a real card has no such thing. */
#define METIS_BLOCK_MAGIC 0x53544e44
#define METIS_BLOCK_LAYOUT 1
#define METIS_BAR0_MAGIC 0xc00
#define METIS_BAR0_LAYOUT 0xc04
#define METIS_BAR0_FIRMWARE 0xc08
#define METIS_BAR0_BOARD_CONTROLLER 0xc0c
#define METIS_BAR0_MEMORY_MIB 0xc10
#define METIS_BAR0_BOARD 0xc14
#define METIS_BAR0_CLOCK_MHZ 0xc18
#define METIS_BAR0_MVM_PERCENT 0xc1c
#define METIS_BAR0_TEMP_BOARD 0xc20
#define METIS_BAR0_TEMP_CORE0 0xc24
#define METIS_BAR0_TEMP_CORE1 0xc28
#define METIS_BAR0_TEMP_CORE2 0xc2c
#define METIS_BAR0_TEMP_CORE3 0xc30
#define METIS_BAR0_SW_THROTTLE 0xc34
#define METIS_BAR0_STATE 0xc38
#define METIS_BAR0_DOORBELL 0xc40
#define METIS_BAR0_ABORT 0xc44

#define METIS_BOARD_M2 1
#define METIS_BOARD_PCIE 2

#define METIS_STATE_IDLE 0
#define METIS_STATE_BUSY 1
#define METIS_STATE_NO_HOST 2
#define METIS_STATE_DMA_FAULT 3

/* The host buffer: a job, its completion, then a program's data. */
#define METIS_JOB 0x0
#define METIS_JOB_MAGIC 0x4d4a4f42
#define METIS_JOB_SIZE 48
#define METIS_COMPLETION 0x40
#define METIS_COMPLETION_SIZE 16
#define METIS_DATA 0x1000

#define METIS_OP_LOAD_WEIGHTS 1
#define METIS_OP_MULTIPLY 2
#define METIS_OP_SET_CLOCK 3
#define METIS_OP_SET_MVM 4
#define METIS_OP_SET_THROTTLE 5

#define METIS_STATUS_OK 0
#define METIS_STATUS_BAD_OPCODE 1
#define METIS_STATUS_BAD_SHAPE 2
#define METIS_STATUS_BAD_ADDRESS 3
#define METIS_STATUS_NO_WEIGHTS 4
#define METIS_STATUS_BAD_VALUE 5

#define METIS_MAX_DIMENSION 1024
#define METIS_CORES 4
#define METIS_HIGHEST_THRESHOLD 200

#endif
