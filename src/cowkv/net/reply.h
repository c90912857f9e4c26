/* SPDX-License-Identifier: BSD-2-Clause */
/* reply.h - answers in RESP2. These functions send nothing to our master, which gets no answers. */
#ifndef COWKV_REPLY_H
#define COWKV_REPLY_H

#include "net/client.h"

void reply_status(struct client *c, const char *text); /* +text */
void reply_int(struct client *c, int64_t n);
void reply_bulk(struct client *c, struct slice s);
void reply_text(struct client *c, const char *text); /* as a bulk string */
void reply_double(struct client *c, double d);       /* a bulk string, as Redis formats scores */
void reply_null(struct client *c);
void reply_null_array(struct client *c);
void reply_array(struct client *c, size_t n); /* n more replies follow */

/* Begin an array whose length n is not known yet. Returns `where` for reply_array_set(), to be
   called when n is known. */
size_t reply_array_later(struct client *c);
void reply_array_set(struct client *c, size_t where, size_t n);

/* Send an error. The format begins with the code: "ERR ...". CR and LF in the text become
   spaces. */
__attribute__((format(printf, 2, 3))) void reply_error(struct client *c, const char *format, ...);

/* Tell a client why its input is not a request. */
void reply_garbled(struct client *c, const char *why);

#define ERROR_WRONGTYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define ERROR_SYNTAX "ERR syntax error"
#define ERROR_NOT_INTEGER "ERR value is not an integer or out of range"
#define ERROR_NOT_FLOAT "ERR value is not a valid float"
#define ERROR_NO_KEY "ERR no such key"
#define ERROR_RANGE "ERR index out of range"

/* Whether a command has failed for this client since the last call; also for our master, which is
   not told. */
bool reply_failed(struct client *c);

#endif
