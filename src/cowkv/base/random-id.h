/* SPDX-License-Identifier: BSD-2-Clause */
/* random-id.h - unique random names, for a server or a stream of changes. */
#ifndef COWKV_RANDOM_ID_H
#define COWKV_RANDOM_ID_H

#define RANDOM_ID 40 /* characters */

/* Make a random name, in hexadecimal. Ends the process if there are no random numbers. */
void random_id(char id[RANDOM_ID + 1]);

#endif
