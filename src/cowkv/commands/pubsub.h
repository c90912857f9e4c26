/* SPDX-License-Identifier: BSD-2-Clause */
/* pubsub.h - channels, as far as Sentinel needs them: Sentinels find each other by what they
   publish at the servers. */
#ifndef COWKV_PUBSUB_H
#define COWKV_PUBSUB_H

struct client;

/* Drop all subscriptions of a client that goes, or that becomes a replica, which is sent only the
   stream. */
void pubsub_forget(struct client *c);

#endif
