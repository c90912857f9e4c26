/* SPDX-License-Identifier: BSD-2-Clause */
/* replicas.h - for tests of replication: writers, waiting, and comparing the data of two
   servers. */
#ifndef COWARENA_TESTS_COWKV_REPLICAS_H
#define COWARENA_TESTS_COWKV_REPLICAS_H

#include "servers.h"

/* Start a process that writes to a server until it is stopped: values of all types; or in order
   RPUSH log i, SET a i, HSET h i, SET b i, with the writer's number at the end of each key. */
pid_t writer_start(const struct server *s, unsigned number, bool in_order);
void writer_stop(pid_t pid);

/* Start a replica of a server. */
struct server *replica_start(enum server_kind kind, const struct server *master, const char *dir);

/* Wait until the link is up, or down. */
void replica_wait(struct server *replica, bool up);

/* Wait until the replica has all that its master has sent. Nobody may write meanwhile. */
void replica_catch_up(struct server *master, struct server *replica);

/* Fail the test if the data of two servers differ. Nobody may write meanwhile. */
void replica_compare(struct server *a, struct server *b);

/* The digest that a real redis-server computes of all data of a server (41 bytes). */
void replica_digest(struct server *s, char *digest);

/* Fail the test if the keys written in order are not as they were at one instant. */
void replica_check_order(struct server *s, unsigned writers);

/* Whether a server's INFO, or its log, contains this text. */
bool replica_info_has(struct server *s, const char *text);
bool replica_log_has(const struct server *s, const char *text);

#endif
