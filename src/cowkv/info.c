/* SPDX-License-Identifier: BSD-2-Clause */
/* info.c - INFO, with Redis' names where there are any, and the arena's figures. It asks all parts
   of the server. */
#include "config.h"

#include "base/counters.h"
#include "base/random-id.h"
#include "base/settings.h"
#include "commands/command.h"
#include "info.h"
#include "rdb/save.h"
#include "replication/replicas.h"
#include "replication/replication.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static char run_id[RANDOM_ID + 1];
static time_t started;

void info_init(void)
{
	random_id(run_id);
	started = time(NULL);
}

static void print_server(struct buffer *to)
{
	long long up = (long long)(time(NULL) - started);
	struct utsname os;

	uname(&os);
	buffer_print(to,
		     "redis_version:7.0.15\r\nserver_name:cowkv\r\ncowkv_version:%s\r\n"
		     "redis_mode:standalone\r\nos:%s %s %s\r\narch_bits:%d\r\nprocess_id:%d\r\n"
		     "run_id:%s\r\ntcp_port:%" PRIu64 "\r\nuptime_in_seconds:%lld\r\n"
		     "uptime_in_days:%lld\r\nhz:10\r\nengine:%s\r\n",
		     PACKAGE_VERSION, os.sysname, os.release, os.machine, (int)sizeof(void *) * 8,
		     (int)getpid(), run_id, config.port, up, up / 86400,
		     cowarena_engine_name(heap));
}

static void print_clients(struct buffer *to)
{
	buffer_print(to, "connected_clients:%zu\r\nmaxclients:%" PRIu64 "\r\nblocked_clients:0\r\n",
		     client_count - replicas_count(), config.maxclients);
}

static void print_memory(struct buffer *to)
{
	struct cowarena_stats s = {.sz = sizeof s};
	struct rusage usage = {0};
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	cowarena_stats_peek(heap, &s);
	getrusage(RUSAGE_SELF, &usage);
	if (f && fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	buffer_print(to,
		     "used_memory:%" PRIu64
		     "\r\nused_memory_rss:%ld\r\nused_memory_peak_rss:%ld\r\n"
		     "used_memory_dataset:%" PRIu64 "\r\nmaxmemory:%" PRIu64 "\r\n"
		     "maxmemory_policy:noeviction\r\nmem_clients_normal:%zu\r\narena_bytes:%" PRIu64
		     "\r\narena_capacity:%" PRIu64 "\r\nheld_bytes:%" PRIu64
		     "\r\nheld_bytes_peak:%" PRIu64 "\r\nhuge_bytes:%" PRIu64 "\r\n",
		     s.live_bytes, pages * sysconf(_SC_PAGESIZE), usage.ru_maxrss * 1024,
		     s.live_bytes, config.maxmemory, client_memory(), s.arena_bytes,
		     config.capacity, s.held_bytes, s.held_bytes_peak, s.huge_bytes);
}

static void print_persistence(struct buffer *to)
{
	const struct save_state *s = &save_state;
	long long running = s->running ? (long long)(time(NULL) - s->started) : -1;

	buffer_print(to,
		     "loading:0\r\ncurrent_cow_peak:%" PRIu64
		     "\r\nrdb_changes_since_last_save:%" PRIu64
		     "\r\nrdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%lld\r\n"
		     "rdb_last_bgsave_status:%s\r\nrdb_last_bgsave_time_sec:%lld\r\n"
		     "rdb_current_bgsave_time_sec:%lld\r\nrdb_last_cow_size:%" PRIu64
		     "\r\nrdb_last_error:%s\r\naof_enabled:0\r\naof_rewrite_in_progress:0\r\n",
		     s->running ? s->cow_peak : 0, db_changes, s->running, (long long)s->last,
		     s->last_failed ? "err" : "ok", (long long)s->last_seconds, running,
		     s->cow_bytes, s->error);
}

static void print_stats(struct buffer *to)
{
	struct cowarena_stats s = {.sz = sizeof s};

	cowarena_stats_peek(heap, &s);
	buffer_print(to,
		     "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64
		     "\r\nrejected_connections:%" PRIu64 "\r\nsync_full:%" PRIu64
		     "\r\nsync_partial_ok:%" PRIu64 "\r\nsync_partial_err:%" PRIu64
		     "\r\nexpired_keys:%" PRIu64 "\r\nevicted_keys:0\r\nkeyspace_hits:%" PRIu64
		     "\r\nkeyspace_misses:%" PRIu64
		     "\r\nlatest_fork_usec:0\r\ntotal_forks:0\r\nlatest_snapshot_usec:%" PRIu64
		     "\r\nsnapshots_taken:%" PRIu64 "\r\nfaults:%" PRIu64 "\r\ncopied:%" PRIu64
		     "\r\ncopied_ahead:%" PRIu64 "\r\nshadowed:%" PRIu64 "\r\nreused:%" PRIu64
		     "\r\nfault_nsec_p99:%" PRIu64 "\r\n",
		     counters.connections, counters.commands, counters.rejected, counters.sync_full,
		     counters.sync_partial_ok, counters.sync_partial_err, db_expired, db_hits,
		     db_misses, save_state.snapshot_usec, s.snapshots_taken, s.faults, s.copied,
		     s.copied_ahead, s.shadowed, s.reused, s.fault_ns_p99);
}

static void print_cpu(struct buffer *to)
{
	struct rusage u = {0};

	getrusage(RUSAGE_SELF, &u);
	buffer_print(to, "used_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\n",
		     (long)u.ru_stime.tv_sec, (long)u.ru_stime.tv_usec, (long)u.ru_utime.tv_sec,
		     (long)u.ru_utime.tv_usec);
}

static void print_keyspace(struct buffer *to)
{
	if (db->keys.used)
		buffer_print(to, "db0:keys=%zu,expires=%zu,avg_ttl=0\r\n", db->keys.used,
			     db->expiring);
}

/* Print a section: all of them if section.data is NULL or the name is "all", "everything" or
   "default"; nothing if the name is unknown. */
static void print(struct buffer *to, struct slice section)
{
	static const struct {
		const char *name;
		void (*print)(struct buffer *to);
	} sections[] = {
	    {"Server", print_server}, {"Clients", print_clients},
	    {"Memory", print_memory}, {"Persistence", print_persistence},
	    {"Stats", print_stats},   {"Replication", replication_info},
	    {"CPU", print_cpu},       {"Keyspace", print_keyspace},
	};
	bool all = !section.data || slice_is(section, "all") || slice_is(section, "default") ||
		   slice_is(section, "everything");

	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
		if (!all && !slice_is(section, sections[i].name))
			continue;
		buffer_print(to, "%s# %s\r\n", to->len ? "\r\n" : "", sections[i].name);
		sections[i].print(to);
	}
}

static void info(struct client *c)
{
	struct buffer text = {0};

	if (c->argc == 1)
		print(&text, (struct slice){NULL, 0});
	for (size_t i = 1; i < c->argc; i++)
		print(&text, c->argv[i]);
	reply_bulk(c, (struct slice){text.data, text.len});
	buffer_free(&text);
}

const struct command info_commands[] = {
    {"info", info, -1, COMMAND_LOADING, 0, 0, 0, NULL},
    {0},
};
