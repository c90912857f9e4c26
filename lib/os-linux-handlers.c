/* SPDX-License-Identifier: BSD-2-Clause */
/* os-linux-handlers.c - what the kernel has for a signal, and what it hands to a handler. */
#include "config.h"

#include "os.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The kernel's set of signals is shorter than the C library's (K7). */
#define KERNEL_SET (_NSIG / 8)

/* ---- sets of signals ---- */

void os_every_signal(sigset_t *set)
{
	memset(set, 0xff, sizeof *set); /* sigfillset(3) leaves those of the C library out */
}

bool os_same_signals(const sigset_t *a, const sigset_t *b)
{
	return memcmp(a, b, KERNEL_SET) == 0;
}

void os_block_every_signal(sigset_t *old)
{
	sigset_t all;

	os_every_signal(&all);
	sigemptyset(old); /* the kernel's is shorter */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, old, KERNEL_SET);
}

/* ---- actions ---- */

/*
 * ThreadSanitizer and MemorySanitizer record the program's actions, and need a handler of their own
 * in the kernel in front of them. So under these the C library's answer is taken for the kernel's.
 */
void __tsan_init(void) __attribute__((weak));
void __msan_init(void) __attribute__((weak));

/* The layout of rt_sigaction(2) (K7). */
#if defined __x86_64__ || defined __aarch64__ || defined __powerpc64__ || defined __s390x__
#define HAS_RESTORER 1
#elif defined __riscv || defined __loongarch__
#define HAS_RESTORER 0
#else
#define UNKNOWN_LAYOUT 1
#endif

static bool ask_the_c_library(void)
{
#ifdef UNKNOWN_LAYOUT
	return true;
#else
	return __tsan_init || __msan_init;
#endif
}

#ifndef UNKNOWN_LAYOUT

struct kernel_action {
	void (*handler)(int);
	unsigned long flags;
#if HAS_RESTORER
	void (*restorer)(void);
#endif
	unsigned char mask[KERNEL_SET];
};

#ifdef __x86_64__

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

/*
 * The code that a handler returns to. The kernel has none of its own for this processor. Debuggers
 * and unwinders recognise it by the C library's name for it, or by these very instructions in a
 * place without unwind tables; they also look at the byte before it.
 */
void restore_rt(void) __asm__("__restore_rt") __attribute__((visibility("hidden")));
__asm__(".text\n"
	"	nop\n"
	"	.balign 16\n"
	"	.type __restore_rt, @function\n"
	"__restore_rt:\n"
	"	movq $15, %rax\n" /* rt_sigreturn */
	"	syscall\n"
	"	.size __restore_rt, . - __restore_rt\n");

static void set_restorer(struct kernel_action *k, const struct sigaction *action)
{
	bool given = action->sa_flags & SA_RESTORER && action->sa_restorer;

	k->flags |= SA_RESTORER;
	k->restorer = given ? action->sa_restorer : restore_rt;
}

#else

static void set_restorer(struct kernel_action *k, const struct sigaction *action)
{
#if HAS_RESTORER
	k->restorer = action->sa_restorer; /* the flags say whether to use it */
#endif
	(void)k, (void)action;
}

#endif

static int kernel_get(int signo, struct sigaction *action)
{
	struct kernel_action k;

	if (syscall(SYS_rt_sigaction, signo, NULL, &k, (size_t)KERNEL_SET))
		return -1;
	memset(action, 0, sizeof *action);
	action->sa_handler = k.handler;
	action->sa_flags = (int)k.flags;
#if HAS_RESTORER
	action->sa_restorer = k.restorer;
#endif
	memcpy(&action->sa_mask, k.mask, KERNEL_SET);
	return 0;
}

static int kernel_set(int signo, const struct sigaction *action)
{
	struct kernel_action k = {.handler = action->sa_handler,
				  .flags = (unsigned)action->sa_flags};

	memcpy(k.mask, &action->sa_mask, KERNEL_SET);
	set_restorer(&k, action);
	return (int)syscall(SYS_rt_sigaction, signo, &k, NULL, (size_t)KERNEL_SET);
}

#else

static int kernel_get(int signo, struct sigaction *action)
{
	return sigaction(signo, NULL, action);
}

static int kernel_set(int signo, const struct sigaction *action)
{
	return sigaction(signo, action, NULL);
}

#endif

int os_action_get(int signo, struct sigaction *action)
{
	return ask_the_c_library() ? sigaction(signo, NULL, action) : kernel_get(signo, action);
}

int os_action_set(int signo, const struct sigaction *action)
{
	return ask_the_c_library() ? sigaction(signo, action, NULL) : kernel_set(signo, action);
}

/* ---- what a handler is handed ---- */

static bool was_write(const siginfo_t *info, const void *ucontext)
{
	(void)info, (void)ucontext;
#if defined __x86_64__
	/* Bit 1 of the page-fault error code: the access was a write (K8). */
	return ((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_ERR] & 2;
#elif defined __aarch64__
	/* The kernel appends a record with the syndrome register to the context. In a data abort's
	   syndrome bit 6 is WnR, which is not valid for cache maintenance, bit 8 (K8; Arm ARM,
	   ESR_EL1; Linux, asm/sigcontext.h). */
	const mcontext_t *m = &((const ucontext_t *)ucontext)->uc_mcontext;
	const char *p = (const char *)m->__reserved, *end = p + sizeof m->__reserved;
	while (p + sizeof(struct _aarch64_ctx) <= end) {
		const struct _aarch64_ctx *head = (const void *)p;
		if (head->magic == ESR_MAGIC) {
			uint64_t esr = ((const struct esr_context *)head)->esr;
			bool data_abort = (esr >> 26 & 0x3e) == 0x24;
			return data_abort && (esr & 0x140) == 0x40;
		}
		if (head->magic == 0 || head->size == 0)
			break;
		p += head->size;
	}
	/* An emulator may leave that record out. Then every fault counts as a write but an
	   instruction fetch, which would fault for ever. */
	return m->pc != (uintptr_t)info->si_addr;
#else
	return true;
#endif
}

enum os_trap os_trap_of(int signo, const siginfo_t *info, const void *ucontext)
{
	/* The codes of a store that mprotect(2) and userfaultfd forbid (K3). */
	int forbidden = signo == SIGBUS ? BUS_ADRERR : SEGV_ACCERR;

	if (info->si_code == forbidden && was_write(info, ucontext))
		return OS_TRAP_WRITE;
	return signo == SIGSEGV && info->si_code == SEGV_MAPERR ? OS_TRAP_UNMAPPED : OS_TRAP_OTHER;
}

/* The kernel's own codes are positive, those of kill(2), tgkill(2), sigqueue(3) are not (K9). */
bool os_signal_was_sent(const siginfo_t *info)
{
	return info->si_code <= 0;
}

bool os_called_by_kernel(const void *cfa, const siginfo_t *info, const void *ucontext)
{
#if defined __x86_64__
	/* The kernel pushes siginfo, ucontext and, as if called from there, the return address
	   (K6). */
	(void)info;
	return cfa == ucontext;
#elif defined __aarch64__
	/* The frame begins with the siginfo (K6). */
	(void)ucontext;
	return cfa == (const void *)info;
#else
	(void)cfa, (void)info, (void)ucontext;
	return false;
#endif
}

void os_resend_signal(int signo, siginfo_t *info)
{
	syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), signo, info);
}

void os_context_signals(const void *ucontext, sigset_t *interrupted)
{
	sigemptyset(interrupted);
	memcpy(interrupted, &((const ucontext_t *)ucontext)->uc_sigmask, KERNEL_SET);
}

/* Linux clears uc_link at each delivery, and does not read it when the handler returns (K5). */
void **os_context_note(void *ucontext)
{
	return (void **)&((ucontext_t *)ucontext)->uc_link;
}
