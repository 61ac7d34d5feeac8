// SPDX-License-Identifier: GPL-2.0-only
/* A device of class accel that is no Metis: a node below QEMU's edu device, as an NPU of another vendor has one. */
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8

static const struct file_operations operations = { .owner = THIS_MODULE };
static struct pci_dev *parent;
static struct class *class;
static struct cdev cdev;
static dev_t number;

static char *node_name(const struct device *dev, umode_t *mode)
{
	return kasprintf(GFP_KERNEL, "accel/%s", dev_name(dev));
}

static int __init npu_init(void)
{
	struct device *dev;

	parent = pci_get_device(EDU_VENDOR, EDU_DEVICE, NULL);
	if (!parent)
		return -ENODEV;
	class = class_create("accel");
	if (IS_ERR(class))
		return PTR_ERR(class);
	class->devnode = node_name;
	if (alloc_chrdev_region(&number, 0, 1, "npu"))
		return -EBUSY;
	cdev_init(&cdev, &operations);
	if (cdev_add(&cdev, number, 1))
		return -EBUSY;
	dev = device_create(class, &parent->dev, number, NULL, "accel0");
	return PTR_ERR_OR_ZERO(dev);
}

static void __exit npu_exit(void)
{
	device_destroy(class, number);
	cdev_del(&cdev);
	unregister_chrdev_region(number, 1);
	class_destroy(class);
	pci_dev_put(parent);
}

module_init(npu_init);
module_exit(npu_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Node of class accel below a device that is no Metis");
