/* SPDX-License-Identifier: BSD-2-Clause */
/* reply.h - answers in RESP2. All these functions do nothing for our master, which is not
   answered. */
#ifndef COWKV_REPLY_H
#define COWKV_REPLY_H

#include "net/client.h"

void reply_status(struct client *c, const char *text); /* +text */
void reply_int(struct client *c, int64_t n);
void reply_bulk(struct client *c, struct slice s);
void reply_text(struct client *c, const char *text); /* as a bulk string */
void reply_double(struct client *c, double d); /* as a bulk string, in Redis' form of scores */
void reply_null(struct client *c);
void reply_null_array(struct client *c);
void reply_array(struct client *c, size_t n); /* n more replies follow */

/* Begin an array whose length is not known yet. Returns what reply_array_set() wants as `where`
   when the length n is known. */
size_t reply_array_later(struct client *c);
void reply_array_set(struct client *c, size_t where, size_t n);

/* An error. The format begins with the code: "ERR ...". CR and LF in the text become spaces. */
__attribute__((format(printf, 2, 3))) void reply_error(struct client *c, const char *format, ...);

/* Tell a client why what it has sent is no request. */
void reply_garbled(struct client *c, const char *why);

#define ERROR_WRONGTYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define ERROR_SYNTAX "ERR syntax error"
#define ERROR_NOT_INTEGER "ERR value is not an integer or out of range"
#define ERROR_NOT_FLOAT "ERR value is not a valid float"
#define ERROR_NO_KEY "ERR no such key"
#define ERROR_RANGE "ERR index out of range"

/* Whether this client has been sent an error since the last call. For our master: would have
   been. */
bool reply_failed(struct client *c);

#endif
