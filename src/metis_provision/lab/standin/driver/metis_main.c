// SPDX-License-Identifier: GPL-2.0-only
/*
 * STAND-IN for the Axelera Metis driver. It shows a host what the real one shows (module, PCI driver, class,
 * node, sysfs, log lines) and drives the virtual card of the metis-provision lab; it cannot drive a real one.
 */
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "metis_card.h"
#include "metis_version.h"

#define CARD_MEMORY (METIS_BAR0_SIZE + METIS_BAR2_SIZE)

/* All of them numbers, as in the real driver: sysfs shows 0 and 1, not N and Y. */
unsigned int metis_dma_timeout = 2;
module_param_named(dma_timeout, metis_dma_timeout, uint, 0644);
MODULE_PARM_DESC(dma_timeout, "Seconds to wait for a transfer (default 2)");

unsigned int metis_irq_timeout = 1;
module_param_named(irq_timeout, metis_irq_timeout, uint, 0644);
MODULE_PARM_DESC(irq_timeout, "Seconds to wait for a message (default 1)");

unsigned int metis_dma_poll;
module_param_named(dma_poll, metis_dma_poll, uint, 0644);
MODULE_PARM_DESC(dma_poll, "Poll for the end of a transfer instead of waiting for its interrupt (default 0)");

static unsigned int single_msi;
module_param(single_msi, uint, 0644);
MODULE_PARM_DESC(single_msi, "Use one MSI vector even if the host grants more (default 0)");

static unsigned int enable_sg_host_dma;
module_param(enable_sg_host_dma, uint, 0644);
MODULE_PARM_DESC(enable_sg_host_dma, "Accepted because the real driver has it; the stand-in never scatters");

static struct dentry *debugfs_root;

static const struct pci_device_id metis_ids[] = {
	{ PCI_DEVICE(0x1f9d, 0x1100) },
	{ PCI_DEVICE(0x1f9d, 0x11aa) },
	{ PCI_DEVICE(0x1234, 0x2023) },
	{ PCI_DEVICE(0x1234, 0x2024) },
	{ PCI_DEVICE(0x1234, 0x2025) },
	{ }
};
MODULE_DEVICE_TABLE(pci, metis_ids);

/* Whether the port above reports that its link is up. */
static ssize_t axl_aipu_restore_show(struct device *dev, struct device_attribute *attribute, char *text)
{
	struct pci_dev *port = pci_upstream_bridge(to_pci_dev(dev));
	u32 capability = 0;

	if (port)
		pcie_capability_read_dword(port, PCI_EXP_LNKCAP, &capability);
	return sysfs_emit(text, "%d\n", !!(capability & PCI_EXP_LNKCAP_DLLLARC));
}

static ssize_t axl_aipu_restore_store(struct device *dev, struct device_attribute *attribute, const char *text,
				      size_t count)
{
	struct pci_dev *pdev = to_pci_dev(dev);
	struct metis_card *card = pci_get_drvdata(pdev);
	unsigned long ignored;
	int result = kstrtoul(text, 0, &ignored);

	if (result)
		return result;
	if (!card)
		return -ENODEV;
	mutex_lock(&card->lock);
	result = pci_load_saved_state(pdev, card->saved);
	if (!result)
		pci_restore_state(pdev);
	mutex_unlock(&card->lock);
	return result ? result : count;
}
static DEVICE_ATTR(axl_aipu_restore, 0664, axl_aipu_restore_show, axl_aipu_restore_store);

static struct attribute *metis_attrs[] = { &dev_attr_axl_aipu_restore.attr, NULL };
ATTRIBUTE_GROUPS(metis);

static int version_show(struct seq_file *file, void *unused)
{
	seq_puts(file, METIS_VERSION "\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(version);

static int vmsi_show(struct seq_file *file, void *unused)
{
	struct metis_card *card = file->private;

	seq_puts(file, card->area ? "VMSI is enabled\n" : "VMSI is disabled\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vmsi);

static int dma_show(struct seq_file *file, void *unused)
{
	struct metis_card *card = file->private;

	seq_printf(file, "jobs %llu\ntimeouts %llu\n", card->jobs, card->timeouts);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dma);

static void unmap_card(struct metis_card *card)
{
	if (card->bar2)
		pci_iounmap(card->pdev, card->bar2);
	if (card->bar0)
		pci_iounmap(card->pdev, card->bar0);
	pci_release_regions(card->pdev);
}

static int map_card(struct metis_card *card)
{
	struct pci_dev *pdev = card->pdev;
	int result = pci_request_regions(pdev, METIS_PCI_DRIVER);

	if (result)
		return result;
	card->bar0 = pci_iomap(pdev, 0, METIS_BAR0_SIZE);
	card->bar2 = pci_iomap(pdev, 2, METIS_BAR2_SIZE);
	if (card->bar0 && card->bar2)
		return 0;
	dev_warn(&pdev->dev, "Failed to map resources\n");
	unmap_card(card);
	return -ENODEV;
}

static int allocate_buffer(struct metis_card *card)
{
	struct device *dev = &card->pdev->dev;

	if (dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)) && dma_set_mask_and_coherent(dev, DMA_BIT_MASK(32)))
		return -EIO;
	card->host = dma_alloc_coherent(dev, METIS_HOST_BUFFER_SIZE, &card->host_address, GFP_KERNEL);
	return card->host ? 0 : -ENOMEM;
}

static void free_interrupts(struct metis_card *card, int requested)
{
	while (requested-- > 0)
		free_irq(pci_irq_vector(card->pdev, requested), card);
	pci_free_irq_vectors(card->pdev);
}

static int request_interrupts(struct metis_card *card)
{
	struct pci_dev *pdev = card->pdev;
	int offered = pci_msi_vec_count(pdev);
	int wanted = METIS_MSI_VECTORS;
	int vector, result;

	if (offered != METIS_MSI_VECTORS)
		dev_warn(&pdev->dev, "Wrong msi number %d\n", offered);
	if (single_msi || offered != METIS_MSI_VECTORS)
		wanted = 1;
	card->vectors = pci_alloc_irq_vectors(pdev, 1, wanted, PCI_IRQ_MSI);
	if (card->vectors < 0)
		return card->vectors;
	dev_info(&pdev->dev, "MSI registered %d (%d)\n", wanted, card->vectors);
	if (card->vectors == 1)
		dev_info(&pdev->dev, "Init irq handler for single msi\n");
	for (vector = 0; vector < card->vectors; vector++) {
		result = request_irq(pci_irq_vector(pdev, vector), metis_interrupt, 0, METIS_PCI_DRIVER, card);
		if (result) {
			free_interrupts(card, vector);
			return result;
		}
	}
	return 0;
}

/* The endpoint reports nothing any more and its error counters can never move; those of the port above still do. */
static void mask_errors(struct pci_dev *pdev)
{
	int aer = pci_find_ext_capability(pdev, PCI_EXT_CAP_ID_ERR);
	u16 command;

	pci_read_config_word(pdev, PCI_COMMAND, &command);
	pci_write_config_word(pdev, PCI_COMMAND, command & ~PCI_COMMAND_SERR);
	if (!aer) {
		dev_warn(&pdev->dev, "AER capability not found\n");
		return;
	}
	pci_write_config_dword(pdev, aer + PCI_ERR_UNCOR_MASK, 0xffffffff);
	pci_write_config_dword(pdev, aer + PCI_ERR_COR_MASK, 0xffffffff);
}

/* Where the card's reference says that the host-driver area is, or NULL. */
static void __iomem *host_area(struct metis_card *card)
{
	void __iomem *reference = card->bar2 + METIS_SHARED_HOST_DRIVER;
	u16 magic = readw(reference);
	u32 offset;

	if (magic != METIS_SHARED_HOST_DRIVER_MAGIC) {
		dev_info(&card->pdev->dev, "Invalid hdrv magic %x\n", magic);
		return NULL;
	}
	offset = readl(reference + METIS_REFERENCE_OFFSET);
	return offset <= METIS_BAR2_SIZE - METIS_HOST_AREA_SIZE ? card->bar2 + offset : NULL;
}

/*
 * Tell the card where the buffer is. Firmware that has come up left a host-driver area; without it nothing works
 * until the card is removed and found again. A card that is not the lab's is left alone.
 */
static void announce(struct metis_card *card)
{
	void __iomem *area = host_area(card);

	if (!area) {
		dev_warn(&card->pdev->dev, "vmsi not available\n");
		return;
	}
	if (readl(card->bar0 + METIS_BAR0_MAGIC) != METIS_BLOCK_MAGIC) {
		dev_warn(&card->pdev->dev, "not a virtual card: this stand-in drives no other\n");
		return;
	}
	writel(lower_32_bits(card->host_address), area + METIS_HOST_AREA_TARGET);
	writel(upper_32_bits(card->host_address), area + METIS_HOST_AREA_TARGET + 4);
	writel(METIS_HOST_BUFFER_SIZE, area + METIS_HOST_AREA_LENGTH);
	writel(METIS_HOST_AREA_ANNOUNCED, area + METIS_HOST_AREA_CONTROL);
	card->area = area;
	dev_info(&card->pdev->dev, "vmsi configured\n");
}

static void withdraw(struct metis_card *card)
{
	if (card->area)
		writel(0, card->area + METIS_HOST_AREA_CONTROL);
}

static void show_in_debugfs(struct metis_card *card)
{
	char name[64];

	snprintf(name, sizeof(name), METIS_MODULE "-%s", pci_name(card->pdev));
	card->debugfs = debugfs_create_dir(name, debugfs_root);
	debugfs_create_file("vmsi", 0400, card->debugfs, card, &vmsi_fops);
	debugfs_create_file("dma", 0400, card->debugfs, card, &dma_fops);
}

static int bring_up(struct metis_card *card)
{
	struct pci_dev *pdev = card->pdev;
	int result = pci_enable_device(pdev);

	if (result)
		return result;
	pci_set_master(pdev);
	result = map_card(card);
	if (result)
		goto disable;
	result = allocate_buffer(card);
	if (result)
		goto unmap;
	result = request_interrupts(card);
	if (result)
		goto free_buffer;
	mask_errors(pdev);
	pci_save_state(pdev);
	card->saved = pci_store_saved_state(pdev);
	announce(card);
	return 0;

free_buffer:
	dma_free_coherent(&pdev->dev, METIS_HOST_BUFFER_SIZE, card->host, card->host_address);
unmap:
	unmap_card(card);
disable:
	pci_disable_device(pdev);
	return result;
}

static void take_down(struct metis_card *card)
{
	struct pci_dev *pdev = card->pdev;

	withdraw(card);
	pci_clear_master(pdev);
	kfree(card->saved);
	free_interrupts(card, card->vectors);
	dma_free_coherent(&pdev->dev, METIS_HOST_BUFFER_SIZE, card->host, card->host_address);
	unmap_card(card);
	pci_disable_device(pdev);
}

static int metis_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct metis_card *card = kzalloc(sizeof(*card), GFP_KERNEL);
	int result;

	if (!card)
		return -ENOMEM;
	card->pdev = pdev;
	mutex_init(&card->lock);
	init_waitqueue_head(&card->finished);
	result = metis_node_prepare(card);
	if (result)
		return result;
	result = bring_up(card);
	if (result)
		goto forget;
	pci_set_drvdata(pdev, card);
	result = metis_node_add(card);
	if (result)
		goto down;
	show_in_debugfs(card);
	return 0;

down:
	take_down(card);
forget:
	put_device(&card->dev);
	return result;
}

/* A program may still have the node open: it gets ENODEV from now on, and the last close frees the card. */
static void metis_remove(struct pci_dev *pdev)
{
	struct metis_card *card = pci_get_drvdata(pdev);

	metis_node_remove(card);
	debugfs_remove_recursive(card->debugfs);
	WRITE_ONCE(card->gone, true);
	wake_up(&card->finished);
	/* A job that was waiting has left once the lock is ours. */
	mutex_lock(&card->lock);
	mutex_unlock(&card->lock);
	take_down(card);
	put_device(&card->dev);
}

static struct pci_driver metis_driver = {
	.name = METIS_PCI_DRIVER,
	.id_table = metis_ids,
	.probe = metis_probe,
	.remove = metis_remove,
	.dev_groups = metis_groups,
};

static resource_size_t memory_behind(struct pci_bus *bus)
{
	resource_size_t largest = 0;
	int window;

	for (window = 1; window <= 2; window++)
		if (bus->resource[window])
			largest = max(largest, resource_size(bus->resource[window]));
	return largest;
}

static void look_for_cards(void)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		if (!pci_match_id(metis_ids, pdev))
			continue;
		pci_info(pdev, "Found target device\n");
		if (memory_behind(pdev->bus) >= CARD_MEMORY)
			pci_info(pdev, "Memory behind bridge is sufficient. Skipping reset.\n");
		else
			pci_warn(pdev, "Memory behind bridge is not sufficient\n");
	}
}

static int __init metis_init(void)
{
	int result = metis_node_setup();

	if (result)
		return result;
	look_for_cards();
	debugfs_root = debugfs_create_dir(METIS_MODULE, NULL);
	debugfs_create_file("version", 0444, debugfs_root, NULL, &version_fops);
	result = pci_register_driver(&metis_driver);
	if (result) {
		debugfs_remove_recursive(debugfs_root);
		metis_node_teardown();
		return result;
	}
	pr_info(METIS_MODULE ": stand-in PCIe Driver, version %s, init OK\n", METIS_VERSION);
	return 0;
}
module_init(metis_init);

static void __exit metis_exit(void)
{
	pci_unregister_driver(&metis_driver);
	debugfs_remove_recursive(debugfs_root);
	metis_node_teardown();
}
module_exit(metis_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("metis-provision");
MODULE_DESCRIPTION("Stand-in for the Axelera Metis driver, for the virtual card of the metis-provision lab");
MODULE_VERSION(METIS_VERSION);
