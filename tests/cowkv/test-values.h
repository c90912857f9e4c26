/* SPDX-License-Identifier: BSD-2-Clause */
/* test-values.h - what the files of test-values share. */
#ifndef COWARENA_TESTS_COWKV_TEST_VALUES_H
#define COWARENA_TESTS_COWKV_TEST_VALUES_H

#include "../../src/cowkv/base/slice.h"
#include "../../src/cowkv/data/heap.h"

#include <check.h>

/* Make an arena for this test. */
void open_heap(void);
void close_heap(void);

bool name_is(struct slice s, const char *name);

TCase *dict_tests(void);

#endif
