/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zval-model.h - a small model of PHP 5's variables.
 *
 * A symbol table maps names to pointers to zvals. A zval is a value with two numbers that decide
 * whether a write has to copy first:
 *
 *	refcount  how many pointers lead to it
 *	is_ref    0: they share it until one of them writes, which then separates: copy-on-write
 *	          1: they were bound with &: a write through one is meant for all
 *
 * An array is an ordered list of pointers to zvals again, so copying it copies one level.
 * Everything lies in an arena, and running out of memory ends the program.
 */
#ifndef COWARENA_DEMOS_ZVAL_MODEL_H
#define COWARENA_DEMOS_ZVAL_MODEL_H

#include "cowarena.h"

enum zval_type { ZVAL_NULL, ZVAL_LONG, ZVAL_STRING, ZVAL_ARRAY };

/* A zval; and a value on its way into one, whose refcount and is_ref do not count. */
struct zval {
	union {
		int64_t number;
		char *string;
		struct array *array;
	} value;
	uint32_t refcount;
	uint8_t type, is_ref;
};

/* Of an array: "name", or a number where name is NULL. */
struct key {
	char *name;
	int64_t number;
};

struct bucket {
	struct key key;
	struct zval *zval;
};

/* PHP's HashTable, without the hash: keys that count up from 0 are places, others are searched. */
struct array {
	struct bucket *buckets;
	size_t used, room;
	bool counting; /* the keys are 0, 1, 2, ... */
};

/* What separating arrays has copied in all. It is not in the arena, so it is not rolled back. */
struct zval_copied {
	uint64_t elements; /* each of them a bucket, and a refcount that was raised */
	uint64_t bytes;
};
extern struct zval_copied zval_copied;

/* Where all that follows allocates. */
extern cowarena *zval_arena;

/* Values --------------------------------------------------------------------------------------- */

struct zval zval_long(int64_t number);
struct zval zval_string(const char *string);

/* array_fill(0, n, string): the n elements are one zval. */
struct zval zval_array_fill(size_t n, const char *string);

/* Drop one pointer to a zval. */
void zval_release(struct zval *zval);

/* Copy-on-write -------------------------------------------------------------------------------- */

/* Of a place: where a pointer to a zval is, in a table or an array. NULL there is not set yet. */

/* $variable = value: one that belongs to nobody yet, and is taken. */
void zval_assign_value(struct zval **variable, struct zval value);

/* $variable = $source. */
void zval_assign(struct zval **variable, struct zval *source);

/* $variable = &$source. */
void zval_assign_reference(struct zval **variable, struct zval **source);

/* Before $variable += and the like: see to it that the write is seen only where it shall be. */
void zval_separate(struct zval **variable);

/* The place of $variable[key], about to be written. */
struct zval **zval_element(struct zval **variable, struct key key);

/* What a call puts on the argument stack, with a pointer counted for the stack. */
struct zval *zval_argument(struct zval **variable, bool by_reference);

/* Arrays, and symbol tables, which are the same ------------------------------------------------ */

struct array *array_new(size_t room);
void array_free(struct array *array);

/* The place of key, NULL if there is none; or a new one, not set. Good until the next new one. */
struct zval **array_find(const struct array *array, struct key key);
struct zval **array_place(struct array *array, struct key key);

/* unset() of a variable. */
void array_remove(struct array *array, struct key key);

#endif
