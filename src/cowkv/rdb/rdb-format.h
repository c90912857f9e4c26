/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-format.h - the numbers of the RDB format. */
#ifndef COWKV_RDB_FORMAT_H
#define COWKV_RDB_FORMAT_H

#define RDB_MAGIC "REDIS"
#define RDB_MAGIC_LENGTH 9 /* including the version, four digits */

/* A length. Its two highest bits tell its form. */
enum rdb_length {
	RDB_LENGTH_6 = 0x00,
	RDB_LENGTH_14 = 0x40,
	RDB_LENGTH_32 = 0x80, /* four more bytes, the highest first */
	RDB_LENGTH_64 = 0x81,
	RDB_ENCODED = 0xc0 /* not a length: an encoded string */
};
enum rdb_encoding { RDB_INT8, RDB_INT16, RDB_INT32, RDB_LZF };

enum rdb_type {
	RDB_STRING = 0,
	RDB_LIST = 1,
	RDB_SET = 2,
	RDB_ZSET = 3,
	RDB_HASH = 4,
	RDB_ZSET_2 = 5,
	RDB_MODULE = 6,
	RDB_MODULE_2 = 7,
	RDB_HASH_ZIPMAP = 9,
	RDB_LIST_ZIPLIST = 10,
	RDB_SET_INTSET = 11,
	RDB_ZSET_ZIPLIST = 12,
	RDB_HASH_ZIPLIST = 13,
	RDB_LIST_QUICKLIST = 14,
	RDB_STREAM = 15,
	RDB_HASH_LISTPACK = 16,
	RDB_ZSET_LISTPACK = 17,
	RDB_LIST_QUICKLIST_2 = 18,
	RDB_STREAM_2 = 19,
	RDB_SET_LISTPACK = 20,
	RDB_STREAM_3 = 21
};

/* The bit of a type in a set of types. */
#define RDB_BIT(type) ((uint32_t)1 << (type))

enum rdb_opcode {
	RDB_FUNCTION_2 = 245,
	RDB_FUNCTION = 246,
	RDB_MODULE_AUX = 247,
	RDB_IDLE = 248,
	RDB_FREQ = 249,
	RDB_AUX = 250,
	RDB_RESIZEDB = 251,
	RDB_EXPIRETIME_MS = 252,
	RDB_EXPIRETIME = 253,
	RDB_SELECTDB = 254,
	RDB_EOF = 255
};

#define RDB_LZF_MIN 20       /* only longer strings are compressed */
#define RDB_CHECKSUM_SINCE 5 /* version of the format */
#define RDB_VERSION_MAX 11   /* highest version that is read: Redis 7.2 writes it */

#endif
