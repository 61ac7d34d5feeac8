/* SPDX-License-Identifier: GPL-2.0-only */
/* Version of the driver; written anew when the source tarball is made. */
#ifndef METIS_VERSION_H
#define METIS_VERSION_H

#define METIS_VERSION "1.6.2"

#endif
