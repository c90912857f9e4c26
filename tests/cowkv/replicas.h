/* SPDX-License-Identifier: BSD-2-Clause */
/* replicas.h - for tests of replication: writers, waiting, and comparing all data of two
   servers. */
#ifndef COWARENA_TESTS_COWKV_REPLICAS_H
#define COWARENA_TESTS_COWKV_REPLICAS_H

#include "servers.h"

/* A process that writes to a server until it is stopped: values of all types; or in order RPUSH log
   i, SET a i, HSET h i, SET b i, with its number at the end of each key. */
pid_t writer_start(const struct server *s, unsigned number, bool in_order);
void writer_stop(pid_t pid);

/* Start a replica of a server. */
struct server *replica_start(enum server_kind kind, const struct server *master, const char *dir);

/* Wait until the link is up, or down. */
void replica_wait(struct server *replica, bool up);

/* Wait until it has all that its master has sent. Nobody may write meanwhile. */
void replica_catch_up(struct server *master, struct server *replica);

/* Fail if the data of these two differ. Nobody may write meanwhile. */
void replica_compare(struct server *a, struct server *b);

/* What a real redis-server says of all the data of a server (41 bytes). */
void replica_digest(struct server *s, char *digest);

/* Fail if what the writers have written in order is not as it was at one instant. */
void replica_check_order(struct server *s, unsigned writers);

/* Whether INFO, or its log, has this text. */
bool replica_info_has(struct server *s, const char *text);
bool replica_log_has(const struct server *s, const char *text);

#endif
