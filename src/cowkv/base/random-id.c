/* SPDX-License-Identifier: BSD-2-Clause */
/* random-id.c - see random-id.h. */
#include "config.h"

#include "base/log.h"
#include "base/random-id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_id(char id[RANDOM_ID + 1])
{
	unsigned char bytes[RANDOM_ID / 2];

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
		log_line(LOG_WARNING, "No random numbers: %s", strerror(errno));
		exit(EXIT_FAILURE);
	}
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}
