// Package storetest says whether a store keeps the contracts of package otp. It is for
// people who write their own. Five lines in a test file certify one:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) otp.Store { return open(t) })
//		storetest.RunLimiter(t, func(t testing.TB) otp.Limiter { return open(t) })
//	}
//
// A store that can do more has more to prove: [RunCounter], [RunCredential],
// [RunCharging] and [RunPruner] are about the interfaces of the same names. Run the tests with -race, and
// against the real server with the settings of production.
//
// # What a store has to bring
//
// The constructor is called once for each case. It may hand out stores that share one
// database, and the database need not be empty: every case uses random names of its own
// and looks at nothing else. It should open the store as the program does, with its
// connection pool; 64 goroutines use it at once. Cleaning up is its own affair, with
// t.Cleanup.
//
// No case waits for time to pass. Times are passed in, and lie in 2003, 2008, 2030 and
// 2100, so a store that looks at a clock of its own is found out.
//
// A store that keeps its data should be a [Reopener] in the test, so that its data can
// be looked for after a restart.
//
// # What a failure says
//
// Each case is about one clause of the doc comments of package otp and has its name. A
// failure prints the clause in words, what was done, what was expected and what happened.
// There are no options, no tolerances and nothing to skip: a store that does not keep a
// clause lets somebody use a code twice, guess more often than allowed, or locks people
// out. Later releases may add cases; the changelog lists them.
//
// # What passing means
//
// That these cases found nothing. Each of them is itself tested: for each there is a
// store with a typical mistake that this case rejects and no other. Races are provoked
// by many goroutines that start together, which finds the usual ones (a decision on what
// was read before) nearly always, and rare ones perhaps never.
//
// # What it does not mean
//
// Loss of power, a killed server, a failover to a replica and a full disk are not
// tested, and neither are several processes. Whether an acknowledged change is on disk
// is a matter of the server's settings, which no test of this kind can see. Nothing is
// said about speed either; [Benchmark] measures it.
package storetest
