/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jvm-host.c - a Java virtual machine in a process with an arena. Built and run by test-jvm.sh.
 *
 *	jvm-host LIBJVM ENGINE before|after|reinstall
 *
 * The arena is made before the virtual machine, or after it; or before it, with our handler put in
 * front again afterwards. The machine raises SIGSEGV for its own purposes: for null pointers in
 * compiled code, and to stop threads. Its faults must reach its handler, and ours our handler.
 */
#include <cowarena.h>
#include <dlfcn.h>
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 64
#define PAGE 4096
#define ROUNDS 30000 /* until the loop is compiled, and beyond */

static int status;

static void wrong(const char *what)
{
	printf("%s: %s\n", what, cowarena_errmsg());
	status = 1;
}

static JNIEnv *start_machine(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL), *symbol;
	jint (*create)(JavaVM **, void **, void *);
	JavaVM *vm;
	JNIEnv *env = NULL;
	JavaVMOption options[] = {{"-Xmx64m", NULL}};
	JavaVMInitArgs args = {JNI_VERSION_1_8, 1, options, JNI_FALSE};

	symbol = handle ? dlsym(handle, "JNI_CreateJavaVM") : NULL;
	if (!symbol) {
		printf("SKIP: %s\n", dlerror());
		exit(77);
	}
	memcpy(&create, &symbol, sizeof create);
	if (create(&vm, (void **)&env, &args)) {
		printf("SKIP: the virtual machine does not start\n");
		exit(77);
	}
	return env;
}

static void write_all(cowarena *arena, volatile char *p)
{
	char then = 0, now = p[5];
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);

	for (int i = 0; i < PAGES; i++)
		p[i * PAGE + 5]++;
	for (int i = 0; i < PAGES; i++) {
		const void *at = (const char *)p + i * PAGE + 5;
		if (!s || cowarena_snapshot_read(s, &then, at, 1) || then != now)
			wrong("a snapshot does not hold");
		if (p[i * PAGE + 5] != (char)(now + 1))
			wrong("a store was skipped");
	}
	cowarena_snapshot_release(s);
}

/* A null pointer in compiled Java code: the machine makes an exception of the fault. */
static void use_null(JNIEnv *env)
{
	jclass arrays = (*env)->FindClass(env, "java/util/Arrays");
	jmethodID fill = (*env)->GetStaticMethodID(env, arrays, "fill", "([BB)V");

	for (int i = 0; i < ROUNDS; i++) {
		(*env)->CallStaticVoidMethod(env, arrays, fill, NULL, (jbyte)1);
		if (!(*env)->ExceptionCheck(env))
			wrong("a null pointer was no exception");
		(*env)->ExceptionClear(env);
	}
}

static void collect(JNIEnv *env)
{
	jclass system = (*env)->FindClass(env, "java/lang/System");
	jmethodID gc = (*env)->GetStaticMethodID(env, system, "gc", "()V");

	for (int i = 0; i < 10; i++)
		(*env)->CallStaticVoidMethod(env, system, gc);
}

int main(int argc, char **argv)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	cowarena *arena = NULL;

	if (argc != 4)
		return 2;
	o.engine = (unsigned)atoi(argv[2]);
	if (strcmp(argv[3], "after") != 0)
		arena = cowarena_create(&o);
	JNIEnv *env = start_machine(argv[1]);
	if (!arena)
		arena = cowarena_create(&o);
	char *p = cowarena_calloc(arena, PAGES, PAGE);
	if (!p) {
		wrong("no arena");
		return 1;
	}
	int before = cowarena_trap_check(); /* the machine is in front of ours, and that is said */
	if ((before == 0) != (strcmp(argv[3], "after") == 0))
		wrong("cowarena_trap_check()");
	if (strcmp(argv[3], "reinstall") == 0 &&
	    (cowarena_trap_reinstall() || cowarena_trap_check()))
		wrong("cowarena_trap_reinstall()");
	write_all(arena, p);
	use_null(env);
	collect(env);
	write_all(arena, p);
	use_null(env);
	cowarena_destroy(arena);
	use_null(env);
	return status;
}
