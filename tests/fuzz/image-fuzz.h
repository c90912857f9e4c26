/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image-fuzz.h - any bytes, read as images.
 *
 * The bytes are one image, or several, one after the other: each begins with the mark of an image.
 * The others are what the first one may be an increment of.
 */
#ifndef IMAGE_FUZZ_H
#define IMAGE_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Read all that the images have. Returns: whether the first one could be read to its end. */
int fuzz_read(const uint8_t *data, size_t n);

/* Make a heap of it, use the heap, and save it again. Returns: whether there was one. */
int fuzz_load(const uint8_t *data, size_t n);

/* What fuzzers call: fuzz_read(), or with COWARENA_FUZZ=load in the environment fuzz_load(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed);

#endif
