/* SPDX-License-Identifier: BSD-2-Clause */
/* pubsub.h - channels, as far as Sentinel needs them: its members find each other by what they
   publish at the servers. */
#ifndef COWKV_PUBSUB_H
#define COWKV_PUBSUB_H

struct client;

/* Drop all subscriptions of a client: it goes, or becomes a replica, which is sent nothing but the
   stream. */
void pubsub_forget(struct client *c);

#endif
