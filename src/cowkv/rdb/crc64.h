/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crc64.h - the checksum of RDB files: the polynomial of D. T. Jones, ad93d23594c935a9, with bits
 * reflected, starting from 0 and without a final xor. The checksum of "123456789" is
 * e9c6d914c4b8d9ca.
 */
#ifndef COWKV_CRC64_H
#define COWKV_CRC64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called once, before the first use. Returns false if a known checksum comes out wrong. */
bool crc64_init(void);

/* Continue a checksum with n more bytes. */
uint64_t crc64(uint64_t crc, const void *data, size_t n);

#endif
