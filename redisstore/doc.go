// Package redisstore keeps challenges, limits, counters and credentials in Redis 6.2 or
// later, Valkey, or a cluster of either, by way of go-redis.
//
//	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
//	…
//	store, err := redisstore.New(ctx, client, redisstore.Options{})
//	…
//	svc, err := otp.New(otp.Config{Store: store, …})
//
// # What is guaranteed
//
// A [Store] implements every store contract of package otp. Each call is one Lua script and
// so one atomic step and one round trip, for any number of processes; [Store.Get] and the
// like only read. An attempt is counted in the same script that compares. The store takes
// the time from its callers alone, in whole microseconds from 1970 to 2254, which the
// numbers of Lua hold exactly; expiry on the server only forgets. It starts no goroutine.
//
// It is tested with storetest on Redis 7.0, on a cluster of three nodes and on Valkey, by a
// checker for linearizability while servers and clients are killed and answers are lost,
// and by comparing its scripts with package memstore, call by call.
//
// # Calls that are made twice
//
// A client that gets no answer asks again, and go-redis does so by itself, three times. So
// every change has a name of eight random bytes, and what it changed remembers it: the
// second time nothing is changed, and the answer is the first one. A record remembers some
// eighty changes, many more than a challenge of a service has, and those of a dead record
// that stood in its place; a meter the last 128, and a counter or credentials the last 16.
// Who asks again after that many others is refused, charged twice, or gives back twice.
//
// A call that ends with its context may have been made. It is an error, and the service
// then denies. Only deadlines end a call early; one that is canceled goes on until the
// client's ReadTimeout.
//
// # What the server must be
//
// [New] refuses a server that may forget what it has acknowledged, since a forgotten change
// makes a used code good again:
//
//   - appendonly must be yes. With snapshots only, a crash brings back the last one: used
//     codes, spent attempts and charged limits of minutes are as they were.
//   - appendfsync must be always or everysec. always loses nothing, and waits for the disk
//     with each change. everysec loses what was changed in the last second, in bad cases
//     two, when the machine dies, and when the process alone is killed while the disk is slow:
//     what was used in that time can be used again. The tests show both.
//   - no-appendfsync-on-rewrite must be no, as it is if nobody changed it. With yes nothing
//     reaches the disk while the file is rewritten, which is what appendfsync no means: the
//     machine takes half a minute with it.
//   - maxmemory-policy must be noeviction. Any other forgets limits and used codes when
//     memory runs out. With noeviction a full server refuses, and the service denies.
//
// [Options].InsecureAcceptLoss accepts all that. No option accepts a client whose
// ContextTimeoutEnabled is false, since its calls outlast the deadlines of their contexts by
// seconds; one whose ReadTimeout or WriteTimeout is -2, since its calls have no deadline; a
// replica; or a plain client of a cluster. Where a service forbids CONFIG, New
// asks INFO, which tells neither appendfsync nor no-appendfsync-on-rewrite.
//
// The clocks of servers may be wrong by minutes: a key is kept for an hour longer than it
// counts. They must not be set forward by more while the server runs.
//
// # Fail-over
//
// Replication is asynchronous: a primary that is lost takes with it what its replicas had
// not got. In the tests, at some thousand changes a second on one machine, that was 0 or 1
// changes where the replica kept up, and every change since it was cut off where it did
// not (239 in a tenth of a second). A code that was used in that time can be used again.
//
// [Options].WaitReplicas makes each change wait, in the same round trip, until so many
// replicas have it; what they do not confirm in a second is an error. In the tests nothing
// that was acknowledged was lost then, with Sentinel's way of fail-over and with a
// cluster's. Replicas confirm what they have in memory, so they should have appendonly
// too; the client's ReadTimeout must be more than a second; and a replica more than
// WaitReplicas keeps one that fails from stopping the service. A primary that was cut off
// from its replicas cannot acknowledge anything, which is what one wants of it. Also set
// min-replicas-to-write on the servers if other programs use them.
//
// # Cluster
//
// Give New a *redis.ClusterClient. Every step is about one key, so any slot may be
// anywhere and may move while it is used. What is one atomic step elsewhere and names
// several keys is a series of steps here, each with a round trip: PutCharged and
// ReissueCharged make the charges one by one, then change the record, and give back what
// was refused; GiveAll gives back to one meter after the other. What happens in between, or
// is left by a process that dies in between, is charged too much, never too little: a limit
// may refuse too early, and no code is good twice. Every limit is exact on its own.
//
// A Ring is refused, since it moves keys, without what is in them, when a server is lost.
//
// # Sizing
//
// A challenge of a service with four meters takes about 1,250 bytes of memory. The record
// goes an hour after its code, the meters live as long as the longest window of their
// limits, days, and after wrong guesses up to a year: count the people who ask for a code
// in that time. Set maxmemory, and watch used_memory: a full server turns everybody away.
//
// One server is enough for some ten thousand verifications a second, since each is one
// script on one key. [otp.Config] leases limits that are shared by all people, so there is
// no hot key.
//
// There is nothing to prune. Counters, and credentials that somebody has, are never
// forgotten.
//
// # Audit
//
// An [Audit] writes the events of a service to a stream, which is bounded by length and
// age. [Audit.Run] does that, so no request waits for it.
//
// # What is in the keys
//
// All keys begin with [Options].Prefix; then comes r: for a record, m: for a meter, c: for a
// counter, k: for credentials. No code, handle, recipient or subject is in any, nor in the
// append-only file or a snapshot: see [otp.Record]. The scripts compare keyed digests, so
// neither MONITOR nor the slow log show what helps to find a code. Whoever can write the
// keys can delete a limit, or raise an attempt count, but not make a record that accepts:
// the service checks what it reads. A client may be restricted, by an ACL, to the prefix
// and to +@read +@write +@scripting +@connection +info +config|get +wait, and on a cluster
// +cluster|slots.
package redisstore
