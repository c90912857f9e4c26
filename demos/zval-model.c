/* SPDX-License-Identifier: BSD-2-Clause */
/* zval-model.c - see zval-model.h. Each rule names PHP 5's function or macro for it. */
#include "config.h"

#include "common.h"
#include "zval-model.h"

struct zval_copied zval_copied;
cowarena *zval_arena;

/* Zeroed to its very end, as digest_arena() hashes whole blocks. */
static void *new_block(size_t size)
{
	void *block = cowarena_alloc(zval_arena, size);

	if (!block)
		die("the variables do not fit: %s", cowarena_errmsg());
	return memset(block, 0, cowarena_usable_size(zval_arena, block));
}

static char *copy_string(const char *string)
{
	return strcpy(new_block(strlen(string) + 1), string);
}

/* Values --------------------------------------------------------------------------------------- */

struct zval zval_long(int64_t number)
{
	return (struct zval){.value.number = number, .type = ZVAL_LONG};
}

struct zval zval_string(const char *string)
{
	return (struct zval){.value.string = copy_string(string), .type = ZVAL_STRING};
}

/* INIT_PZVAL: one pointer leads to it, and it is no reference. */
static struct zval *zval_new(struct zval value)
{
	struct zval *zval = new_block(sizeof *zval);

	zval->value = value.value;
	zval->type = value.type;
	zval->refcount = 1;
	return zval;
}

/* zval_dtor(): frees what the zval holds; the zval itself stays. */
static void drop_value(struct zval *zval)
{
	if (zval->type == ZVAL_STRING)
		cowarena_free(zval_arena, zval->value.string);
	else if (zval->type == ZVAL_ARRAY)
		array_free(zval->value.array);
}

/* zval_ptr_dtor(): when one pointer to a reference is left, nobody shares it as a reference any
   more: is_ref is cleared, and from now on the zval is shared by copy-on-write like any other. */
void zval_release(struct zval *zval)
{
	if (--zval->refcount == 0) {
		drop_value(zval);
		cowarena_free(zval_arena, zval);
	} else if (zval->refcount == 1) {
		zval->is_ref = 0;
	}
}

/* zend_hash_copy() with zval_add_ref(): copies one level. The elements are shared, references too,
   which so stay references in both arrays. */
static struct array *copy_array(const struct array *from)
{
	struct array *to = array_new(from->used);

	for (size_t i = 0; i < from->used; i++) {
		struct bucket b = from->buckets[i];
		if (b.key.name)
			b.key.name = copy_string(b.key.name);
		if (b.zval)
			b.zval->refcount++;
		to->buckets[i] = b;
	}
	to->used = from->used;
	to->counting = from->counting;
	zval_copied.elements += to->used;
	zval_copied.bytes += to->used * sizeof *to->buckets;
	return to;
}

/* zval_copy_ctor(). */
static struct zval copy_value(const struct zval *zval)
{
	struct zval copy = *zval;

	if (zval->type == ZVAL_STRING)
		copy = zval_string(zval->value.string);
	else if (zval->type == ZVAL_ARRAY)
		copy.value.array = copy_array(zval->value.array);
	return copy;
}

struct zval zval_array_fill(size_t n, const char *string)
{
	struct zval fill = {.value.array = array_new(n), .type = ZVAL_ARRAY};
	struct zval *element = zval_new(zval_string(string));

	for (size_t i = 0; i < n; i++) {
		*array_place(fill.value.array, (struct key){.number = (int64_t)i}) = element;
		element->refcount++;
	}
	zval_release(element);
	return fill;
}

/* Copy-on-write -------------------------------------------------------------------------------- */

/* SEPARATE_ZVAL_IF_NOT_REF: a zval with several pointers to it is left to the others, and this one
   gets a copy. */
void zval_separate(struct zval **variable)
{
	struct zval *shared = *variable;

	if (!shared) {
		*variable = zval_new((struct zval){.type = ZVAL_NULL});
	} else if (!shared->is_ref && shared->refcount > 1) {
		*variable = zval_new(copy_value(shared));
		shared->refcount--;
	}
}

/* SEPARATE_ZVAL_TO_MAKE_IS_REF: those who share the zval by copy-on-write so far must not become
   references too. */
static void make_reference(struct zval **variable)
{
	zval_separate(variable);
	(*variable)->is_ref = 1;
}

/* zend_assign_to_variable(), of a temporary. A reference is written through: all its names see the
   value. So is a zval that nobody shares, which saves an allocation. Otherwise the pointer moves to
   a new zval, and the others keep the old one. */
void zval_assign_value(struct zval **variable, struct zval value)
{
	struct zval *old = *variable;

	if (old && (old->is_ref || old->refcount == 1)) {
		struct zval garbage = *old;
		old->value = value.value;
		old->type = value.type;
		drop_value(&garbage);
	} else {
		*variable = zval_new(value);
		if (old)
			zval_release(old);
	}
}

/* zend_assign_to_variable(), of a variable. To share the zval takes one more pointer to it. If the
   source is a reference that would make the target one too, and if the target is one, all its names
   are to change: then the value is copied, at once. */
void zval_assign(struct zval **variable, struct zval *source)
{
	struct zval *old = *variable;

	if (old == source)
		return;
	if (source->is_ref || (old && old->is_ref)) {
		zval_assign_value(variable, copy_value(source));
		return;
	}
	source->refcount++;
	*variable = source;
	if (old)
		zval_release(old);
}

/* zend_assign_to_variable_reference(). (If both share one zval already, PHP spares the copy.) */
void zval_assign_reference(struct zval **variable, struct zval **source)
{
	make_reference(source);
	struct zval *old = *variable;
	*variable = *source;
	(*variable)->refcount++;
	if (old)
		zval_release(old);
}

/* zend_fetch_dimension_address(), for a write: the array is separated now if necessary. The element
   is not: that depends on what is done to it. */
struct zval **zval_element(struct zval **variable, struct key key)
{
	if (!*variable)
		*variable =
		    zval_new((struct zval){.value.array = array_new(0), .type = ZVAL_ARRAY});
	zval_separate(variable);
	if ((*variable)->type != ZVAL_ARRAY)
		die("only arrays have elements");
	return array_place((*variable)->value.array, key);
}

/* ZEND_SEND_VAR and ZEND_SEND_REF. By value, it is as for an assignment: a reference is copied. */
struct zval *zval_argument(struct zval **variable, bool by_reference)
{
	struct zval *argument = NULL;

	if (by_reference)
		zval_assign_reference(&argument, variable);
	else
		zval_assign(&argument, *variable);
	return argument;
}

/* Arrays --------------------------------------------------------------------------------------- */

struct array *array_new(size_t room)
{
	struct array *array = new_block(sizeof *array);

	array->room = room ? room : 1;
	array->buckets = new_block(array->room * sizeof *array->buckets);
	array->counting = true;
	return array;
}

static void drop_bucket(struct bucket *bucket)
{
	cowarena_free(zval_arena, bucket->key.name);
	if (bucket->zval)
		zval_release(bucket->zval);
}

void array_free(struct array *array)
{
	for (size_t i = 0; i < array->used; i++)
		drop_bucket(&array->buckets[i]);
	cowarena_free(zval_arena, array->buckets);
	cowarena_free(zval_arena, array);
}

static struct bucket *find_bucket(const struct array *array, struct key key)
{
	if (array->counting) {
		bool there = !key.name && key.number >= 0 && (size_t)key.number < array->used;
		return there ? &array->buckets[key.number] : NULL;
	}
	for (struct bucket *b = array->buckets; b < array->buckets + array->used; b++)
		if (key.name ? b->key.name && strcmp(b->key.name, key.name) == 0
			     : !b->key.name && b->key.number == key.number)
			return b;
	return NULL;
}

struct zval **array_find(const struct array *array, struct key key)
{
	struct bucket *found = find_bucket(array, key);

	return found ? &found->zval : NULL;
}

struct zval **array_place(struct array *array, struct key key)
{
	struct zval **found = array_find(array, key);

	if (found)
		return found;
	if (array->used == array->room) {
		struct bucket *small = array->buckets;
		array->buckets = new_block(2 * array->room * sizeof *small);
		memcpy(array->buckets, small, array->used * sizeof *small);
		array->room *= 2;
		cowarena_free(zval_arena, small);
	}
	array->counting &= !key.name && key.number == (int64_t)array->used;
	if (key.name)
		key.name = copy_string(key.name);
	array->buckets[array->used] = (struct bucket){.key = key};
	return &array->buckets[array->used++].zval;
}

void array_remove(struct array *array, struct key key)
{
	struct bucket *found = find_bucket(array, key);

	if (!found)
		return;
	struct bucket gone = *found;
	struct bucket *last = &array->buckets[--array->used];
	array->counting &= found == last;
	memmove(found, found + 1, (size_t)(last - found) * sizeof *found);
	drop_bucket(&gone);
}
