/* SPDX-License-Identifier: BSD-2-Clause */
/* pubsub.h - channels, as far as Sentinel needs them: its members find each other by what they publish at the servers. */
#ifndef COWKV_PUBSUB_H
#define COWKV_PUBSUB_H

struct client;

/* A client is going. */
void pubsub_forget(const struct client *c);

#endif
