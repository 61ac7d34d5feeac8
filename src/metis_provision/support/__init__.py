"""What somebody elsewhere needs to see of a host in trouble, without what is nobody else's business."""
