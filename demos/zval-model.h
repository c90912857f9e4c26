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

/* A zval; also a value about to be stored in one, whose refcount and is_ref do not count. */
struct zval {
	union {
		int64_t number;
		char *string;
		struct array *array;
	} value;
	uint32_t refcount;
	uint8_t type, is_ref;
};

/* The key of an array: "name", or a number if name is NULL. */
struct key {
	char *name;
	int64_t number;
};

struct bucket {
	struct key key;
	struct zval *zval;
};

/* PHP's HashTable, without the hash: keys that count up from 0 are indices, others are searched. */
struct array {
	struct bucket *buckets;
	size_t used, room;
	bool counting; /* the keys are 0, 1, 2, ... */
};

/* How much the separation of arrays has copied. It is not in the arena, so it is not rolled
   back. */
struct zval_copied {
	uint64_t elements; /* each copies a bucket and raises a refcount */
	uint64_t bytes;
};
extern struct zval_copied zval_copied;

/* Where all of the following allocate. */
extern cowarena *zval_arena;

/* Values --------------------------------------------------------------------------------------- */

struct zval zval_long(int64_t number);
struct zval zval_string(const char *string);

/* array_fill(0, n, string): the n elements are one zval. */
struct zval zval_array_fill(size_t n, const char *string);

/* Drop one pointer to a zval. */
void zval_release(struct zval *zval);

/* Copy-on-write -------------------------------------------------------------------------------- */

/* A place holds a pointer to a zval, in a table or an array. NULL there means not set yet. */

/* $variable = value, which no zval holds yet; the variable takes it. */
void zval_assign_value(struct zval **variable, struct zval value);

/* $variable = $source. */
void zval_assign(struct zval **variable, struct zval *source);

/* $variable = &$source. */
void zval_assign_reference(struct zval **variable, struct zval **source);

/* Before $variable += and the like: make sure that only those who should see the write see it. */
void zval_separate(struct zval **variable);

/* Find the place of $variable[key], to write to it. */
struct zval **zval_element(struct zval **variable, struct key key);

/* What a call pushes on the argument stack; the stack counts as a pointer. */
struct zval *zval_argument(struct zval **variable, bool by_reference);

/* Arrays, and symbol tables, which are the same ------------------------------------------------ */

struct array *array_new(size_t room);
void array_free(struct array *array);

/* Find the place of a key, or NULL; or make one, not set. Valid until the next one is made. */
struct zval **array_find(const struct array *array, struct key key);
struct zval **array_place(struct array *array, struct key key);

/* unset() of a variable. */
void array_remove(struct array *array, struct key key);

#endif
