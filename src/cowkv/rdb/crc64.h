/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crc64.h - the checksum of RDB files: the polynomial of D. T. Jones, ad93d23594c935a9, bits
 * reflected, beginning with 0 and nothing added at the end. Of "123456789" it is e9c6d914c4b8d9ca.
 */
#ifndef COWKV_CRC64_H
#define COWKV_CRC64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Before the first use, once. False if it computes a wrong answer to a known question. */
bool crc64_init(void);

/* Go on with n more bytes. */
uint64_t crc64(uint64_t crc, const void *data, size_t n);

#endif
