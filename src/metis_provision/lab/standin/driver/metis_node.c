// SPDX-License-Identifier: GPL-2.0-only
/* The character device: class, node name, exclusive open, data and requests. */
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/kernfs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#include "metis_card.h"
#include "metis_version.h"

#define MAX_CARDS 64
#define DATA_SIZE (METIS_HOST_BUFFER_SIZE - METIS_DATA)

static struct class *metis_class;
static dev_t first_number;
static DEFINE_IDA(minors);
static CLASS_ATTR_STRING(version, 0444, METIS_VERSION);

/* A card serves one process: whoever comes second is told so. */
static int node_open(struct inode *inode, struct file *file)
{
	struct metis_card *card = container_of(inode->i_cdev, struct metis_card, cdev);
	int result = 0;

	mutex_lock(&card->lock);
	if (card->gone)
		result = -ENODEV;
	else if (card->held)
		result = -EBUSY;
	else
		card->held = true;
	mutex_unlock(&card->lock);
	file->private_data = card;
	return result;
}

static int node_release(struct inode *inode, struct file *file)
{
	struct metis_card *card = file->private_data;

	mutex_lock(&card->lock);
	card->held = false;
	mutex_unlock(&card->lock);
	return 0;
}

static ssize_t node_read(struct file *file, char __user *to, size_t count, loff_t *position)
{
	struct metis_card *card = file->private_data;
	ssize_t result = -ENODEV;

	mutex_lock(&card->lock);
	if (!card->gone)
		result = simple_read_from_buffer(to, count, position, card->host + METIS_DATA, DATA_SIZE);
	mutex_unlock(&card->lock);
	return result;
}

static ssize_t node_write(struct file *file, const char __user *from, size_t count, loff_t *position)
{
	struct metis_card *card = file->private_data;
	ssize_t result = -ENODEV;

	mutex_lock(&card->lock);
	if (!card->gone)
		result = simple_write_to_buffer(card->host + METIS_DATA, DATA_SIZE, position, from, count);
	mutex_unlock(&card->lock);
	return result;
}

static long info_request(struct metis_card *card, void __user *argument)
{
	struct metis_info info;

	metis_read_info(card, &info);
	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

static long run_request(struct metis_card *card, void __user *argument)
{
	struct metis_request request;
	int result;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	result = metis_run(card, &request);
	if (result)
		return result;
	return copy_to_user(argument, &request, sizeof(request)) ? -EFAULT : 0;
}

static long node_ioctl(struct file *file, unsigned int command, unsigned long value)
{
	struct metis_card *card = file->private_data;
	void __user *argument = (void __user *)value;
	long result;

	mutex_lock(&card->lock);
	if (card->gone)
		result = -ENODEV;
	else if (command == METIS_IOC_INFO)
		result = info_request(card, argument);
	else if (command == METIS_IOC_RUN)
		result = run_request(card, argument);
	else
		result = -ENOTTY;
	mutex_unlock(&card->lock);
	return result;
}

static const struct file_operations node_operations = {
	.owner = THIS_MODULE,
	.open = node_open,
	.release = node_release,
	.read = node_read,
	.write = node_write,
	.llseek = default_llseek,
	.unlocked_ioctl = node_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static void free_card(struct device *dev)
{
	struct metis_card *card = container_of(dev, struct metis_card, dev);

	ida_free(&minors, MINOR(dev->devt) - MINOR(first_number));
	kfree(card);
}

/* From here on the card is freed by put_device; on failure it has been freed. */
int metis_node_prepare(struct metis_card *card)
{
	struct pci_dev *pdev = card->pdev;
	int minor = ida_alloc_max(&minors, MAX_CARDS - 1, GFP_KERNEL);
	int result;

	if (minor < 0) {
		kfree(card);
		return minor;
	}
	device_initialize(&card->dev);
	card->dev.class = metis_class;
	card->dev.parent = &pdev->dev;
	card->dev.release = free_card;
	card->dev.devt = MKDEV(MAJOR(first_number), MINOR(first_number) + minor);
	cdev_init(&card->cdev, &node_operations);
	card->cdev.owner = THIS_MODULE;
	result = dev_set_name(&card->dev, METIS_MODULE "-%x-%x-%x", pci_domain_nr(pdev->bus), pdev->bus->number,
			      PCI_SLOT(pdev->devfn));
	if (result)
		put_device(&card->dev);
	return result;
}

/* The class's directory in sysfs; the kernel has no shorter way there. To be given back by kernfs_put. */
static struct kernfs_node *class_link(struct metis_card *card)
{
	return sysfs_get_dirent(card->dev.kobj.sd, "subsystem");
}

static struct kobject *class_directory(struct kernfs_node *link)
{
	return link->symlink.target_kn->priv;
}

static void old_name(struct metis_card *card, char name[64])
{
	strscpy(name, dev_name(&card->dev), 64);
	strreplace(name + sizeof(METIS_MODULE), '-', ':');
}

/*
 * Old programs look for the name with colons in /sys/class/metis. As the real driver does, leave them that one
 * and take the new name away there; the node and the device keep the new name.
 */
static void show_old_name(struct metis_card *card)
{
	struct kernfs_node *link = class_link(card);
	char name[64];

	if (!link)
		return;
	old_name(card, name);
	if (!sysfs_create_link(class_directory(link), &card->dev.kobj, name))
		sysfs_remove_link(class_directory(link), dev_name(&card->dev));
	kernfs_put(link);
}

static void hide_old_name(struct metis_card *card)
{
	struct kernfs_node *link = class_link(card);
	char name[64];

	if (!link)
		return;
	old_name(card, name);
	sysfs_remove_link(class_directory(link), name);
	kernfs_put(link);
}

int metis_node_add(struct metis_card *card)
{
	int result = cdev_device_add(&card->cdev, &card->dev);

	if (!result)
		show_old_name(card);
	return result;
}

void metis_node_remove(struct metis_card *card)
{
	hide_old_name(card);
	cdev_device_del(&card->cdev, &card->dev);
}

int metis_node_setup(void)
{
	int result = alloc_chrdev_region(&first_number, 0, MAX_CARDS, METIS_MODULE);

	if (result)
		return result;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	metis_class = class_create(METIS_MODULE);
#else
	metis_class = class_create(THIS_MODULE, METIS_MODULE);
#endif
	if (IS_ERR(metis_class)) {
		result = PTR_ERR(metis_class);
		goto no_class;
	}
	result = class_create_file(metis_class, &class_attr_version.attr);
	if (result)
		goto no_version;
	return 0;

no_version:
	class_destroy(metis_class);
no_class:
	unregister_chrdev_region(first_number, MAX_CARDS);
	return result;
}

void metis_node_teardown(void)
{
	class_remove_file(metis_class, &class_attr_version.attr);
	class_destroy(metis_class);
	unregister_chrdev_region(first_number, MAX_CARDS);
	ida_destroy(&minors);
}
