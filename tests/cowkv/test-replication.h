/* SPDX-License-Identifier: BSD-2-Clause */
/* test-replication.h - the parts of test-replication. */
#ifndef COWARENA_TESTS_COWKV_TEST_REPLICATION_H
#define COWARENA_TESTS_COWKV_TEST_REPLICATION_H

#include "../common.h"

TCase *tests_of_masters(void);
TCase *tests_of_replicas(void);
TCase *tests_in_the_raw(void);
TCase *tests_of_spoiled(void);

#endif
